"""The bounds of connections, whatever is spoken on them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a reader may take up before any policy is asked.

    Attributes:
        head_bytes: of a request's target and headers together.
        headers: in a request.
        head_s: seconds that a request's head may take to arrive.
        idle_s: seconds that a connection may rest between two requests.
        stuck_s: seconds that an answer may wait without its reader taking anything.
        linger_s: seconds that a reader who still sends has to read the last answer, and that connections which rest
            have for one more request when the gateway leaves.
        leave_s: seconds that a connection of HTTP/2 with running streams may be asked on when the gateway leaves.
        unread_bytes: of a body, or of requests sent ahead, that are taken in before somebody reads them; at least
            65,535, which senders of HTTP/2 begin with.
        streams: exchanges at once on one connection of HTTP/2.
        idle_frames: frames of HTTP/2 which ask for work and bring nothing, that a connection may send at once.
        idle_frames_per_second: of them, in the long run.
    """

    head_bytes: int = 32_768
    headers: int = 100
    head_s: float = 10.0
    idle_s: float = 75.0
    stuck_s: float = 30.0
    linger_s: float = 2.0
    leave_s: float = 15.0
    unread_bytes: int = 262_144
    streams: int = 128
    idle_frames: int = 1000
    idle_frames_per_second: float = 100.0
