"""What passed over a path: bytes, losses, and the segments that TCP sent again."""

import struct
from dataclasses import dataclass, field
from typing import Final

from e2e.link.path import Lost

_TCP: Final = 6
_HALF: Final = 1 << 31
_WHOLE: Final = 1 << 32
_LEAST_HEADERS: Final = 40


@dataclass(kw_only=True, slots=True)
class Observed:
    """Counts of one direction.

    Attributes:
        packets: that were offered.
        size: bytes of them, with IP and TCP headers: what the sender put on the wire.
        segments: of TCP that carry data, among them.
        again: of those, segments whose data had been sent before.
        lost: packets that did not arrive, by reason.
    """

    packets: int = 0
    size: int = 0
    segments: int = 0
    again: int = 0
    lost: dict[Lost, int] = field(default_factory=lambda: dict.fromkeys(Lost, 0))
    _sent: dict[tuple[bytes, bytes], int] = field(default_factory=dict)

    def take(self, packet: bytes) -> None:
        """Count a packet that is offered."""
        self.packets += 1
        self.size += len(packet)
        if len(packet) <= _LEAST_HEADERS or packet[0] >> 4 != 4 or packet[9] != _TCP:  # noqa: PLR2004 - IP version 4
            return
        header = (packet[0] & 15) * 4
        (sequence,) = struct.unpack_from("!I", packet, header + 4)
        data = len(packet) - header - (packet[header + 12] >> 4) * 4
        if not data:
            return
        flow = packet[12:20], packet[header : header + 4]
        end = (sequence + data) % _WHOLE
        self.segments += 1
        # Sequence numbers come round: what is less than half of them behind was sent before.
        if flow in self._sent and (self._sent[flow] - end) % _WHOLE < _HALF:
            self.again += 1
        else:
            self._sent[flow] = end

    def told(self) -> dict[str, int]:
        """Return the counts by name."""
        return {
            "packets": self.packets,
            "bytes": self.size,
            "segments": self.segments,
            "again": self.again,
            "lost_by_chance": self.lost[Lost.CHANCE],
            "lost_in_buffer": self.lost[Lost.BUFFER],
        }
