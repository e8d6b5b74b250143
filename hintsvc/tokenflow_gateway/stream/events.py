"""Cuts an upstream's bytes into server-sent events, as the WHATWG HTML standard defines them (section 9.2)."""

from typing import Final

from tokenflow_gateway.errors import UpstreamBrokeOffError

MAX_EVENT_BYTES: Final = 1 << 20
END: Final = b"\n\n"
"""What ends an event."""


class EventCutter:
    """Cuts at blank lines, wherever the network cut; holds one unfinished event of at most ``MAX_EVENT_BYTES``.

    Lines may end in LF, CRLF or CR; all come out as LF.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0
        self._after_cr = False

    @property
    def partial(self) -> bool:
        """Whether what was fed so far may go on in what comes next."""
        return bool(self._held) or self._after_cr

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that ``data`` completes, without the blank line behind each.

        Raises:
            UpstreamBrokeOffError: an event is above the bound.
        """
        if self._after_cr or b"\r" in data:
            data = self._with_lf(data)
        if not self._held and data.endswith(END):
            # What engines do: one write has whole events.
            *events, _ = data.split(END)
            return [event for event in map(_without_blank_lines, events) if event]
        return self._search(data)

    def rest(self) -> bytes:
        """Return what was left unfinished at the end of the stream."""
        held = bytes(self._held)
        self._held.clear()
        self._searched = 0
        return held

    def _with_lf(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _search(self, data: bytes) -> list[bytes]:
        held = self._held
        held += data
        # Only what is new is searched, and one byte before it: the blank line may have been cut in two.
        events = []
        start, end = 0, held.find(END, self._searched)
        while end >= 0:
            events.append(bytes(held[start:end]))
            start = end + len(END)
            end = held.find(END, start)
        del held[:start]
        if len(held) > MAX_EVENT_BYTES:
            raise UpstreamBrokeOffError(f"the upstream sent an event above {MAX_EVENT_BYTES} bytes")
        self._searched = max(0, len(held) - 1)
        return [event for event in map(_without_blank_lines, events) if event]


def _without_blank_lines(event: bytes) -> bytes:
    return event.lstrip(b"\n") if event.startswith(b"\n") else event
