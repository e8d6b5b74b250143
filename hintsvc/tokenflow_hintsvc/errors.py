"""The exceptions of the hint service."""


class HintServiceError(Exception):
    """The hint service could not do what was asked."""


class StoreError(HintServiceError):
    """Redis is out of reach or refused."""


class TermOverError(HintServiceError):
    """A newer leader has taken over."""


class ConfigError(HintServiceError):
    """A runtime config is not one."""


class KubernetesError(HintServiceError):
    """The API server is out of reach or refused."""


class TokenError(HintServiceError):
    """A bearer token proves nothing."""
