"""The exceptions of the client SDK."""


class TokenFlowError(Exception):
    """Something went wrong between this client and TokenFlow."""


class UsageError(TokenFlowError):
    """The SDK was called in a way that cannot work; the message says what to write instead."""


class HintsUnavailableError(TokenFlowError):
    """The hint service is out of reach or refused."""


class CircuitOpenError(HintsUnavailableError):
    """The hint service failed too often and is left alone for a while."""


class StreamInterruptedError(TokenFlowError):
    """A gateway ended the stream because it leaves; the request may be sent again with the text so far.

    Attributes:
        text: what the first choice had said by then; empty where the items are neither strings nor OpenAI's chunks,
            and where it was longer than a million characters.
        tokens: tokens sent by then, as the gateway counted them where it said so.
    """

    def __init__(self, message: str, *, text: str, tokens: int) -> None:
        super().__init__(message)
        self.text = text
        self.tokens = tokens
