"""The exceptions of the agent."""


class AgentError(Exception):
    """The agent could not do what was asked."""


class ConfigError(AgentError):
    """An agent config is not one."""


class UsageError(AgentError):
    """A command was called in a way that cannot work here."""


class AwayError(AgentError):
    """Nobody answered, or not as expected."""


class RecordingError(AgentError):
    """A recording is none, or is damaged."""


class ProbeError(AgentError):
    """A signal cannot be read on this node.

    Attributes:
        reason: CamelCase word for the cause.
        lasting: whether it hardly changes while this process runs: it is tried again once an hour.
    """

    def __init__(self, reason: str, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.lasting = lasting


class KernelError(ProbeError):
    """The kernel refused, or lacks something."""


class NvmlError(ProbeError):
    """No GPU of the node can be read."""


class GpuError(ProbeError):
    """One GPU cannot be read."""


class GpuValueError(ProbeError):
    """One value of a GPU cannot be read."""


class ExchangeError(AgentError):
    """A server gave no whole answer.

    Attributes:
        reason: CamelCase word for the cause.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SpoolError(AgentError):
    """The spool cannot be used.

    Attributes:
        reason: CamelCase word for the cause.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
