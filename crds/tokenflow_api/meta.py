"""What both resources share: names, references, conditions, placement."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from tokenflow_api._base import ApiModel
from tokenflow_api._rules import MAP_ATOMIC, Rule
from tokenflow_api.quantities import Quantity, amount

GROUP: Final = "tokenflow.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

MAX_RESOURCE_NAME: Final = 50
"""Longest name of a resource: the names of its children end in a suffix and must stay DNS labels."""

NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=63)]
"""A DNS label: lower-case letters, digits and ``-``."""

Port = Annotated[int, Field(ge=1, le=65535)]
LabelValues = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=63)]],
    Field(max_length=32),
    MAP_ATOMIC,
]


class ConditionStatus(StrEnum):
    """Kubernetes knows these three, and no other."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One aspect of the resource's state, in Kubernetes' standard form."""

    type: Annotated[str, StringConstraints(max_length=316)] = Field(description="Name of the aspect, such as Ready.")
    status: ConditionStatus = Field(description="Whether it holds.")
    observed_generation: int = Field(default=0, ge=0, description="Generation of the spec that this was judged on.")
    last_transition_time: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="When the status last changed, RFC 3339 in UTC."
    )
    reason: Annotated[str, StringConstraints(max_length=256)] = Field(description="CamelCase word for the cause.")
    message: Annotated[str, StringConstraints(max_length=4096)] = Field(
        default="", description="What a person should know or do."
    )


class SecretReference(ApiModel):
    """A Secret in the resource's own namespace."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(description="Name of the Secret.")


class ResourceAmounts(ApiModel):
    """CPU and memory of one container."""

    cpu: Quantity | None = Field(default=None, description="Cores, such as 250m.")
    memory: Quantity | None = Field(default=None, description="Bytes, such as 128Mi.")


def _request_within_limit(name: Literal["cpu", "memory"]) -> Rule:
    """Require that a request stays within its limit where both are given."""

    def check(resources: "Resources") -> bool:
        request, limit = (getattr(part, name, None) for part in (resources.requests, resources.limits))
        return request is None or limit is None or amount(request) <= amount(limit)

    absent = " || ".join(f"!has(self.{part}) || !has(self.{part}.{name})" for part in ("requests", "limits"))
    return Rule(
        cel=f"{absent} || quantity(string(self.requests.{name})).compareTo(quantity(string(self.limits.{name}))) <= 0",
        check=check,
        message=f"requests.{name} must not be above limits.{name}: lower the request or raise the limit",
        field_path=".requests",
    )


class Resources(ApiModel):
    """What a container asks for, and what it may use at most."""

    requests: ResourceAmounts | None = Field(default=None, description="What the scheduler reserves.")
    limits: ResourceAmounts | None = Field(default=None, description="What the container may use at most.")

    rules = (_request_within_limit("cpu"), _request_within_limit("memory"))


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ApiModel):
    """A taint that the pods put up with."""

    key: Annotated[str, StringConstraints(max_length=316)] | None = Field(
        default=None, description="Key of the taint; absent matches all."
    )
    operator: TolerationOperator = Field(default=TolerationOperator.EQUAL, description="How the value is compared.")
    value: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        default=None, description="Value of the taint, with Equal."
    )
    effect: TaintEffect | None = Field(default=None, description="Effect of the taint; absent matches all.")
    toleration_seconds: int | None = Field(
        default=None, ge=0, description="With NoExecute: how long the pod stays; absent is for ever."
    )

    rules = (
        Rule(
            cel="self.operator != 'Exists' || !has(self.value)",
            check=lambda self: self.operator != TolerationOperator.EXISTS or self.value is None,
            message="value must be absent with operator Exists: remove it, or write operator: Equal",
            field_path=".value",
        ),
        Rule(
            cel="self.operator != 'Equal' || has(self.key)",
            check=lambda self: self.operator != TolerationOperator.EQUAL or self.key is not None,
            message="key is required with operator Equal: write it, or use operator: Exists",
            field_path=".operator",
        ),
    )
