"""What passed over a path: bytes, losses, and the segments that TCP sent again."""

import struct
from dataclasses import dataclass, field
from typing import Final

from e2e.link.path import Lost

_IPV4: Final = 4
_TCP: Final = 6
_HALF: Final = 1 << 31
_WHOLE: Final = 1 << 32
_LEAST_HEADERS: Final = 40


@dataclass(kw_only=True, slots=True)
class Sent:
    """What one TCP port sent.

    Attributes:
        size: bytes of its packets, with IP and TCP headers.
        segments: packets that carry data.
        again: of those, packets whose data had been sent before.
    """

    size: int = 0
    segments: int = 0
    again: int = 0


@dataclass(kw_only=True, slots=True)
class Observed:
    """Counts of one direction.

    Attributes:
        packets: that were offered.
        size: bytes of them: what the senders put on the wire.
        lost: packets that did not arrive, by reason.
        ports: what each TCP port of the sending end sent.
    """

    packets: int = 0
    size: int = 0
    lost: dict[Lost, int] = field(default_factory=lambda: dict.fromkeys(Lost, 0))
    ports: dict[int, Sent] = field(default_factory=dict)


class Observer:
    """Looks at the packets of one direction."""

    def __init__(self) -> None:
        self.observed = Observed()
        self._ends: dict[tuple[bytes, bytes], int] = {}

    def take(self, packet: bytes) -> None:
        """Count a packet that is offered."""
        observed = self.observed
        observed.packets += 1
        observed.size += len(packet)
        if len(packet) < _LEAST_HEADERS or packet[0] >> 4 != _IPV4 or packet[9] != _TCP:
            return
        header = (packet[0] & 15) * 4
        port, _, sequence = struct.unpack_from("!HHI", packet, header)
        sent = observed.ports.setdefault(port, Sent())
        sent.size += len(packet)
        data = len(packet) - header - (packet[header + 12] >> 4) * 4
        if not data:
            return
        sent.segments += 1
        flow = packet[12:20], packet[header : header + 4]
        end = (sequence + data) % _WHOLE
        # Sequence numbers come round: what is less than half of them behind was sent before.
        if flow in self._ends and (self._ends[flow] - end) % _WHOLE < _HALF:
            sent.again += 1
        else:
            self._ends[flow] = end
