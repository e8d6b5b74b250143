"""Server-sent events, as the WHATWG HTML standard defines them (section 9.2)."""

import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Final

from tokenflow_client._boundaries import EventSplitter
from tokenflow_client._errors import HintsUnavailableError

MAX_EVENT_BYTES: Final = 4 << 20
"""Bytes of one event: hints for 512 paths are below half a MiB, and a runtime config has at most one."""
_LINE_END: Final = re.compile(r"\r\n|\n|\r")


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


async def events(stream: AsyncIterable[bytes], *, source: str) -> AsyncIterator[Event]:
    """Yield the events of a stream; what it leaves unfinished is none.

    Args:
        stream: as it arrives.
        source: its URL, for messages.

    Raises:
        HintsUnavailableError: an event is longer than ``MAX_EVENT_BYTES``.
    """
    splitter, last_id = EventSplitter(most=MAX_EVENT_BYTES), ""
    async for data in stream:
        for block in splitter.feed(data):
            if splitter.cut:
                raise HintsUnavailableError(
                    f"{source} sent an event above {MAX_EVENT_BYTES >> 20} MiB, as no hint service does: check the URL"
                )
            event = _event(block.decode(errors="replace"), last_id)
            last_id = event.id
            yield event


def _event(block: str, last_id: str) -> Event:
    name, data = "message", list[str]()
    for line in _LINE_END.split(block):
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif line.startswith("id:"):
            last_id = line.removeprefix("id:").strip()
    return Event(name, "\n".join(data), last_id)
