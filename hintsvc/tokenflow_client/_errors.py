"""The exceptions of the client SDK."""


class TokenFlowError(Exception):
    """Something went wrong between this client and TokenFlow."""


class HintsUnavailableError(TokenFlowError):
    """The hint service is out of reach or refused."""
