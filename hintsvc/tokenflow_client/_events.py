"""Server-sent events, as the WHATWG HTML standard defines them (section 9.2)."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream; a comment alone is an event without data.

    Attributes:
        name: its type.
        data: its lines, joined.
        id: the last id that the stream told, so far.
    """

    name: str
    data: str
    id: str = ""


async def events(lines: AsyncIterable[str]) -> AsyncIterator[Event]:
    """Yield the events that ``lines``, without their ends, make up."""
    name, data, last_id = "message", list[str](), ""
    async for line in lines:
        if not line:
            yield Event(name, "\n".join(data), last_id)
            name, data = "message", []
        elif line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif line.startswith("id:"):
            last_id = line.removeprefix("id:").strip()
