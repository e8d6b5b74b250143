"""The exceptions of the operator."""

from dataclasses import dataclass


class OperatorError(Exception):
    """The operator could not do what it was asked."""


class ConfigError(OperatorError):
    """The command line, the environment or the credentials do not allow a start."""


class KubeError(OperatorError):
    """The Kubernetes API did not do what it was asked."""


class UnavailableError(KubeError):
    """The Kubernetes API could not be reached, or asked to be left alone for a while.

    Attributes:
        retry_after_s: seconds that it asked for; 0 where it named none.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ForbiddenError(KubeError):
    """The operator's credentials do not permit the request."""


class NotFoundError(KubeError):
    """The object, or its kind, does not exist."""


class ConflictError(KubeError):
    """The object was changed or created by another in the meantime."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldClaim:
    """A field that another manager set otherwise.

    Attributes:
        field: path of the field, as the API server writes it.
        manager: name of the other manager.
        declared: it applies the field, which is a lasting wish; otherwise it once edited it.
    """

    field: str
    manager: str
    declared: bool


class FieldConflictError(ConflictError):
    """Other managers hold fields that were to be applied.

    Attributes:
        claims: the fields, and who holds them.
    """

    def __init__(self, message: str, *, claims: tuple[FieldClaim, ...]) -> None:
        super().__init__(message)
        self.claims = claims


class GoneError(KubeError):
    """The requested version of the list is too old."""


class InvalidError(KubeError):
    """The Kubernetes API refused the object's content."""


class NotLeadingError(KubeError):
    """Nothing was written, since this replica cannot prove that it leads."""


class HintServiceError(OperatorError):
    """The hint service did not tell its state."""


class HintServiceUnreachableError(HintServiceError):
    """The hint service did not answer, or not in the agreed form."""


class HintServiceFailingError(HintServiceError):
    """The hint service answered that it cannot tell its state, as it does without Redis."""


class HintServiceUntrustedError(HintServiceError):
    """The hint service shows a certificate that is not to be believed."""


class HintServiceRefusedError(HintServiceError):
    """The hint service does not accept the operator's token."""


class AdmissionRequestError(OperatorError):
    """What was sent to the webhook is no question that it can answer."""
