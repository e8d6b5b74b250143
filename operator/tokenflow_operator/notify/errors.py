"""The exceptions of notifiers. Their words go into conditions, so they never hold a receiver's URL."""

from tokenflow_operator.errors import OperatorError


class NotifyError(OperatorError):
    """A receiver could not be told."""


class SecretForbiddenError(NotifyError):
    """The operator may not read the notifier's Secret."""


class ReceiverUnusableError(NotifyError):
    """The notifier's Secret does not exist, or holds no URL to send to."""


class ReceiverRefusedError(NotifyError):
    """The receiver will not take this message, however often it is sent."""


class ReceiverAwayError(NotifyError):
    """The receiver did not take the message now, and may later.

    Attributes:
        after_s: seconds that it asked to be left alone for; 0 where it did not.
    """

    def __init__(self, message: str, *, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s
