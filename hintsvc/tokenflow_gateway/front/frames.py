"""The headers of HTTP/2 frames, read as they pass by (RFC 9113, section 4.1).

The library judges a frame when it has all of it: one that claims 16 MiB would be kept until then.
"""

from typing import Final

from tokenflow_gateway.errors import MalformedRequestError

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (section 3.4)."""
MOST: Final = 16_384
"""Bytes of a frame, as both sides begin (section 4.2); nobody is offered more."""
_HEADER: Final = 9
_DATA: Final = 0x0
_HEADERS: Final = 0x1


class Frames:
    """Follows the frames of one connection."""

    __slots__ = ("_header", "_rest")

    def __init__(self) -> None:
        self._header = bytearray()
        self._rest = len(PREFACE)

    def pass_by(self, data: bytes) -> int:
        """Return how many frames begin that bring neither a request nor a part of a body.

        Raises:
            MalformedRequestError: a frame is larger than any may be.
        """
        at = idle = 0
        while at < len(data):
            if self._rest:
                step = min(self._rest, len(data) - at)
                self._rest -= step
                at += step
                continue
            step = _HEADER - len(self._header)
            self._header += data[at : at + step]
            at += step
            if len(self._header) == _HEADER:
                self._rest = int.from_bytes(self._header[:3], "big")
                if self._rest > MOST:
                    raise MalformedRequestError(f"a frame may have {MOST} bytes")
                idle += self._rest == 0 or self._header[3] not in (_DATA, _HEADERS)
                self._header.clear()
        return idle
