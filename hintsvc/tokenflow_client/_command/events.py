"""Splits a body into server-sent events, and keeps what each took on the wire."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tokenflow_client._command.errors import CompletionError

_END: Final = re.compile(rb"\r?\n\r?\n")
_MOST_BYTES: Final = 16 << 20


class Block(NamedTuple):
    """An event: its data, empty for a comment, and its bytes, the line ends among them."""

    data: bytes
    size: int


class Splitter:
    """Splits by bytes: the separators that Unicode knows besides may stand within the text of an event."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Block]:
        """Yield the events that ``data`` completes.

        Raises:
            CompletionError: one event is larger than any model writes.
        """
        begun = self._rest + data
        start = 0
        for end in _END.finditer(begun):
            yield Block(_data(begun[start : end.start()]), end.end() - start)
            start = end.end()
        self._rest = begun[start:]
        if len(self._rest) > _MOST_BYTES:
            raise CompletionError(f"an event has more than {_MOST_BYTES >> 20} MiB", code="event too large")


def _data(event: bytes) -> bytes:
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line.removeprefix(b"data:").removeprefix(b" ") for line in lines)
