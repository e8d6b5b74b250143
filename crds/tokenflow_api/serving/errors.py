"""The exceptions of what servers have in common; each server answers them in its own form."""


class ServingError(Exception):
    """A server could not do what was asked."""


class TokenError(ServingError):
    """A bearer token proves nothing."""


class KeysError(ServingError):
    """The keys that tokens are verified with are out of reach."""


class CertificateError(ServingError):
    """There is no certificate to serve with."""


class AddressError(ServingError):
    """Clients may not come from there."""


class TooOftenError(ServingError):
    """More requests than a limit allows.

    Args:
        limit: in words.
        setting: name of the field in ``spec.security``.
        early_s: seconds until the next one may come.
    """

    def __init__(self, limit: str, *, setting: str, early_s: float) -> None:
        super().__init__(f"more than {limit}")
        self.setting = setting
        self.early_s = early_s
