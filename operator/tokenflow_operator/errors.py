"""The exceptions of the operator."""


class OperatorError(Exception):
    """The operator could not do what it was asked."""


class ConfigError(OperatorError):
    """The command line, the environment or the credentials do not allow a start."""


class KubeError(OperatorError):
    """The Kubernetes API did not do what it was asked."""


class UnavailableError(KubeError):
    """The Kubernetes API could not be reached, or asked to be left alone for a while."""


class ForbiddenError(KubeError):
    """The operator's credentials do not permit the request."""


class NotFoundError(KubeError):
    """The object, or its kind, does not exist."""


class ConflictError(KubeError):
    """The object was changed or created by another in the meantime."""


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


class HintServiceRefusedError(HintServiceError):
    """The hint service does not accept the operator's token."""
