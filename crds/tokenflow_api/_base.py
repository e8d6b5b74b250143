"""The two model bases: what people write in YAML, and what programs send to one another.

They differ on purpose. Kubernetes resources speak camelCase and are read by several
versions of the operator, wire documents speak snake_case with the unit in the name. Both
are frozen, so that a snapshot handed to a pure function cannot change under it, and both
ignore unknown fields, so that a newer writer does not break an older reader.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from tokenflow_api._rules import Rule


class ApiModel(BaseModel):
    """A part of a custom resource: camelCase in YAML, cross-field rules in ``rules``."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        serialize_by_alias=True,
    )

    rules: ClassVar[Sequence[Rule]] = ()

    @model_validator(mode="after")
    def _hold_rules(self) -> Self:
        broken = [rule.message for rule in self.rules if not rule.check(self)]
        if broken:
            raise ValueError("; ".join(broken))
        return self


class WireModel(BaseModel):
    """A document, or a part of one, that passes between TokenFlow's programs."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, serialize_by_alias=True)
