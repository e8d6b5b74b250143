"""Frames of HTTP/2 (RFC 9113) and the header blocks in them (RFC 7541)."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from hpack import Decoder, HPACKError
from hpack.table import HeaderTable

DATA, HEADERS, RST_STREAM, PUSH_PROMISE, CONTINUATION = 0, 1, 3, 5, 9
END_STREAM: Final = 0x1
_MAX_BLOCK: Final = 16_384
"""Bytes of one header block, and of its headers when decoded."""
_MAX_TABLE: Final = 65_536
_HEAD: Final = 9
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_PRIORITY: Final = 0x20
_PRIORITY_BYTES: Final = 5
_PROMISE_BYTES: Final = 4


class Frame(NamedTuple):
    """A frame; of data without its payload."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class _Table(HeaderTable):
    """Header compression's memory, with the values of wanted headers alone; of others only their length counts."""

    def __init__(self, wanted: frozenset[bytes]) -> None:
        super().__init__()
        self._wanted = wanted

    def add(self, name: bytes, value: bytes) -> None:
        super().add(bytes(name), bytes(value) if name in self._wanted else bytes(len(value)))


class Side:
    """One direction: its frames, and the memory of its header compression.

    Args:
        wanted: names of the headers whose values are kept.
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self._bytes = bytearray()
        self._block = bytearray()
        self._wanted = wanted
        self._decoder: Decoder | None = Decoder(max_header_list_size=_MAX_BLOCK)
        self._decoder.max_allowed_table_size = _MAX_TABLE
        self._decoder.header_table = _Table(frozenset(name.encode() for name in wanted))

    @property
    def desynced(self) -> bool:
        """Whether headers cannot be read any more."""
        return self._decoder is None

    def desync(self) -> None:
        """Give up on headers, and begin anew with whatever frame comes next."""
        self._decoder = None
        self._bytes.clear()
        self._block.clear()

    def frames(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole; the payload of data is not there."""
        self._bytes += data
        while len(self._bytes) >= _HEAD:
            kind = self._bytes[3]
            size = 0 if kind == DATA else int.from_bytes(self._bytes[:3])
            if size > _MAX_BLOCK:
                self.desync()
                return
            if len(self._bytes) < _HEAD + size:
                return
            stream = int.from_bytes(self._bytes[5:_HEAD]) & 0x7FFFFFFF
            yield Frame(kind, self._bytes[4], stream, bytes(self._bytes[_HEAD : _HEAD + size]))
            del self._bytes[: _HEAD + size]

    def headers(self, frame: Frame) -> Mapping[str, bytes] | None:
        """Return the wanted headers of a block that ends with ``frame``; ``None`` while it goes on."""
        self._block += _fragment(frame)
        if len(self._block) > _MAX_BLOCK:
            self.desync()
        if not frame.flags & _END_HEADERS:
            return None
        block = bytes(self._block)
        self._block.clear()
        if self._decoder is None:
            return {}
        try:
            decoded = self._decoder.decode(block, raw=True)
        except HPACKError:
            self.desync()
            return {}
        found: dict[str, bytes] = {}
        for name, value, *_ in decoded:
            key = bytes(name).decode("latin-1")
            if key in self._wanted:
                found.setdefault(key, bytes(value))
        return found


def _fragment(frame: Frame) -> bytes:
    """Return the part of a header block that a frame carries."""
    payload, flags = frame.payload, frame.flags
    if frame.kind == CONTINUATION:
        return payload
    padding = payload[0] if flags & _PADDED and payload else 0
    skipped = bool(flags & _PADDED) + (_PRIORITY_BYTES if frame.kind == HEADERS and flags & _PRIORITY else 0)
    skipped += _PROMISE_BYTES if frame.kind == PUSH_PROMISE else 0
    return payload[skipped : max(skipped, len(payload) - padding)]
