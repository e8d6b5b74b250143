"""How long round trips took of late.

The kernel's value is smoothed over some twenty acknowledgements. A stream that sends an event per second needs as many
seconds until a queue that is gone no longer shows in it, and would be held back all the while. So what the
acknowledgements since the last look have brought into it is told apart from what it held before.
"""

from typing import Final

from tokenflow_api.tcp_info import TcpInfo

_KEPT: Final = 7 / 8
"""Share of the smoothed value that an acknowledgement leaves of what it was (RFC 6298, 2.3)."""


def recent_rtt_us(before: TcpInfo, now: TcpInfo, *, known_us: float) -> float:
    """Return the mean round-trip time of what was acknowledged between two looks, in microseconds.

    Args:
        before: the earlier look.
        now: the later one.
        known_us: the time that holds where nothing was acknowledged.
    """
    if now.acked_bytes == before.acked_bytes:
        return known_us
    # Not each segment of the peer tells of a round trip; one that is counted too many makes the answer the smoother.
    kept = _KEPT ** max(1, now.received_segments - before.received_segments)
    return max(float(now.min_rtt_us), (now.rtt_us - kept * before.rtt_us) / (1 - kept))
