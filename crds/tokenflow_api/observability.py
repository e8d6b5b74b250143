"""What a service tells of itself, and where."""

from enum import StrEnum

from pydantic import Field

from tokenflow_api._base import ApiModel
from tokenflow_api.networks import HttpUrl, proper_url


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

    rules = (proper_url("otlp_endpoint", "otlpEndpoint", optional=True),)
