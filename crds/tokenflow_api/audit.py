"""The record of what was administered and denied at a hint service."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from tokenflow_api._base import WireModel

SCHEMA: Final = 1


class Outcome(StrEnum):
    """How something ended."""

    DONE = "Done"
    DENIED = "Denied"


class AuditEntry(WireModel):
    """Something that was done or denied, and how often within a few seconds.

    ``action`` is a route such as ``GET /v1/cluster``, or a CamelCase word for what a replica did by itself.
    ``subject`` is who asked, ``address`` from where, and ``reason`` the code of the problem or what was done.
    """

    at_unix_ms: int
    replica: str
    outcome: Outcome
    action: str
    subject: str = ""
    address: str = ""
    reason: str = ""
    count: Annotated[int, Field(ge=1)] = 1


class AuditReply(WireModel):
    """The newest entries, the newest first."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    entries: list[AuditEntry]
