"""What ends a command, or one answer within it."""

from tokenflow_client._errors import TokenFlowError


class CommandError(TokenFlowError):
    """The command cannot go on; the message says what to do."""


class CompletionError(TokenFlowError):
    """A completion was refused, or broke off.

    Attributes:
        code: the HTTP status and the endpoint's own word, or what happened to the connection: for counting.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
