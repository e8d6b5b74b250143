"""Markers that carry to the CRD what a JSON schema cannot say.

A ``Rule`` states a cross-field law twice, once in CEL for the API server and once in
Python for whoever reads the model elsewhere; a test holds both to the same answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A law between fields of one model.

    Attributes:
        cel: the law in CEL, ``self`` being the model's object.
        check: the same law in Python, given the model.
        message: what a person reads when it is broken: what to write instead.
        field_path: the field the message points at, relative to the object (``.name``).
    """

    cel: str
    check: Callable[[Any], bool]
    message: str
    field_path: str = ""


@dataclass(frozen=True, slots=True)
class SchemaExtension:
    """``Annotated`` marker that adds ``x-kubernetes-*`` keywords to a field's schema."""

    keywords: tuple[tuple[str, Any], ...]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the keywords to what pydantic says of the field."""
        return {**handler(core), **dict(self.keywords)}


def list_map(*keys: str) -> SchemaExtension:
    """Mark a list of named items, so that server-side apply merges it by ``keys``."""
    return SchemaExtension((("x-kubernetes-list-type", "map"), ("x-kubernetes-list-map-keys", list(keys))))


INT_OR_STRING = SchemaExtension((("x-kubernetes-int-or-string", True), ("minimum", 0), ("maximum", 10**12 - 1)))
"""Take a bare number too; the pattern binds words alone."""
LIST_SET = SchemaExtension((("x-kubernetes-list-type", "set"),))
LIST_ATOMIC = SchemaExtension((("x-kubernetes-list-type", "atomic"),))
MAP_ATOMIC = SchemaExtension((("x-kubernetes-map-type", "atomic"),))
