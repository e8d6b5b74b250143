"""The exceptions of the hint service."""


class HintServiceError(Exception):
    """The hint service could not do what was asked."""


class UsageError(HintServiceError):
    """A command was called in a way that cannot work here."""


class StoreError(HintServiceError):
    """Redis is out of reach or refused."""


class RedisUrlError(HintServiceError):
    """A Redis URL is not one."""


class IntakeFullError(HintServiceError):
    """More telemetry arrives than can be stored."""


class TermOverError(HintServiceError):
    """A newer leader has taken over."""


class ConfigError(HintServiceError):
    """A runtime config is not one."""


class SourceError(HintServiceError):
    """Where runtime configs and keys come from is out of reach, or refused."""


class SourceForbiddenError(SourceError):
    """The API server does not let this replica read there."""


class ReservationError(HintServiceError):
    """A reservation was not made by this service."""


class QuotaBusyError(HintServiceError):
    """More waits for a tenant's quota than can be kept."""
