"""Specs as people might write them: every field there or not, every bound used, every rule kept."""

import typing
from typing import Any

from hypothesis import strategies as st

from tokenflow_api import crdgen
from tokenflow_api._base import ApiModel
from tokenflow_api.quantities import DURATION_PATTERN, QUANTITY_PATTERN

Document = dict[str, Any]

DURATIONS = ("10ms", "100ms", "250ms", "500ms", "1s", "2500ms", "5s", "1m", "1m30s", "5m", "10m", "1h", "24h")
QUANTITIES = ("1", "250m", "0.5", "1k", "64Ki", "1Mi", "4M", "64Mi", "512Mi", "1Gi", "2G", "16Gi")
_PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
_MANY = 6
"""Most items of a generated list: the API server is asked about many documents at once."""


def specs(model: type[ApiModel]) -> st.SearchStrategy[Document]:
    """Return specs of a resource that its model takes."""
    schema = crdgen.structural(model)["properties"]["spec"]
    return _objects(schema, _model_within(model.model_fields["spec"].annotation))


def taken(model: type[ApiModel], document: Document) -> bool:
    """Return whether a model takes a document."""
    try:
        model.model_validate(document)
    except ValueError:
        return False
    return True


def _objects(schema: crdgen.Schema, model: type[ApiModel] | None) -> st.SearchStrategy[Document]:
    assert model is not None
    models = {_alias(model, name): _model_within(field.annotation) for name, field in model.model_fields.items()}
    fields = {name: _values(inner, models[name]) for name, inner in schema["properties"].items()}
    required = schema.get("required", [])
    return st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    ).filter(lambda document: taken(model, document))


def _values(schema: crdgen.Schema, model: type[ApiModel] | None) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "properties" in schema:
        return _objects(schema, model)
    if schema.get("pattern") == QUANTITY_PATTERN:
        return _strings(schema)
    make = {"object": _maps, "integer": _integers, "boolean": lambda _: st.booleans(), "string": _strings}
    return _lists(schema, model) if schema["type"] == "array" else make[schema["type"]](schema)


def _maps(schema: crdgen.Schema) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.from_regex(r"[a-z]{1,9}", fullmatch=True)
    return st.dictionaries(keys, _values(schema["additionalProperties"], None), max_size=3)


def _lists(schema: crdgen.Schema, model: type[ApiModel] | None) -> st.SearchStrategy[list[Any]]:
    keys = schema.get("x-kubernetes-list-map-keys")
    unique = (lambda item: tuple(item[key] for key in keys)) if keys else str
    most = min(schema["maxItems"], _MANY)
    return st.lists(
        _values(schema["items"], model), min_size=schema.get("minItems", 0), max_size=most, unique_by=unique
    )


def _integers(schema: crdgen.Schema) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum", 0), schema.get("maximum", 2**40))


def _strings(schema: crdgen.Schema) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), min(schema["maxLength"], 40)
    match schema.get("pattern"):
        case None:
            return st.text(_PRINTABLE, min_size=least, max_size=most)
        case str() as pattern if pattern == DURATION_PATTERN:
            return st.sampled_from(DURATIONS)
        case str() as pattern if pattern == QUANTITY_PATTERN:
            return st.sampled_from(QUANTITIES)
        case str() as pattern:
            return st.from_regex(pattern, fullmatch=True, alphabet=_PRINTABLE).filter(
                lambda text: len(text) <= schema["maxLength"]
            )


def _alias(model: type[ApiModel], name: str) -> str:
    field = model.model_fields[name]
    return field.alias or name


def _model_within(annotation: object) -> type[ApiModel] | None:
    """Return the model that a field holds, alone, in a list or as an option."""
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _model_within(part)) is not None), None)
