"""What a service tells of itself, and where."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tokenflow_api._base import ApiModel

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#\s]+[^\s]*$", max_length=2048)]


class LogLevel(StrEnum):
    """How much the services log."""

    DEBUG = "Debug"
    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"


class Observability(ApiModel):
    """What the services tell of themselves."""

    otlp_endpoint: HttpUrl | None = Field(default=None, description="Where OpenTelemetry data goes; absent is nowhere.")
    log_level: LogLevel = Field(default=LogLevel.INFO, description="How much the services log.")
