"""What this command reads of the chunks of a completion, in OpenAI's form."""

from pydantic import BaseModel


class Function(BaseModel):
    """A part of a call of a tool."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(BaseModel):
    """A part of the calls of tools."""

    function: Function = Function()


class Delta(BaseModel):
    """What a chunk adds."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def weight(self) -> int:
        """The characters that the model generated for it."""
        calls = (call.function for call in self.tool_calls or [])
        said = len(self.content or "") + len(self.reasoning_content or "")
        return said + sum(len(call.name or "") + len(call.arguments or "") for call in calls)


class Choice(BaseModel):
    """One of the answers."""

    delta: Delta = Delta()


class Usage(BaseModel):
    """What the whole completion took."""

    completion_tokens: int


class Fault(BaseModel):
    """An error."""

    message: str
    code: str | int | None = None
    type: str | None = None

    @property
    def word(self) -> str:
        """What programs can go by; empty where there is nothing."""
        return str(self.code or self.type or "")


class Chunk(BaseModel):
    """The data of one event."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Fault | None = None
