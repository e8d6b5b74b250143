"""A thin, lossy link in front of this network namespace, made with what any kernel has.

Arriving packets are turned to an intermediate device (ifb) with a token bucket and a queue,
which delays them as a slow access link does; nft then drops a share of them. netem would say it
in one line, but many kernels of minimal machines lack it.
"""

from dataclasses import dataclass
from typing import Final

Command = tuple[str, ...]

_BUCKET_BYTES: Final = 2048
_IFB: Final = "tf-link"


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """What a path can carry.

    Attributes:
        rate_kbit: bits per second that pass, in thousands.
        queue_kib: size of the queue before the bottleneck, in KiB.
        loss_percent: share of the TCP segments that vanish; connections are opened and closed without loss.
    """

    rate_kbit: int
    queue_kib: int
    loss_percent: int


def degrade(link: Link, *, device: str) -> list[Command]:
    """Return the commands that put ``link`` before ``device``."""
    return [
        ("ip", "link", "add", _IFB, "type", "ifb"),
        ("ip", "link", "set", _IFB, "up"),
        (
            *("tc", "qdisc", "add", "dev", _IFB, "root", "tbf"),
            *("rate", f"{link.rate_kbit}kbit", "burst", str(_BUCKET_BYTES), "limit", str(link.queue_kib * 1024)),
        ),
        ("tc", "qdisc", "add", "dev", device, "handle", "ffff:", "ingress"),
        (
            *("tc", "filter", "add", "dev", device, "parent", "ffff:", "protocol", "all"),
            *("u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", _IFB),
        ),
        ("nft", "add", "table", "inet", _IFB),
        ("nft", "add", "chain", "inet", _IFB, "in", "{ type filter hook input priority 0; }"),
        (
            *("nft", "add", "rule", "inet", _IFB, "in", "tcp", "flags", "&", "(syn|fin|rst)", "==", "0"),
            *("numgen", "random", "mod", "100", "<", str(link.loss_percent), "counter", "drop"),
        ),
    ]


def clear(*, device: str) -> list[Command]:
    """Return the commands that take the link away; each may fail where there is none."""
    return [
        ("tc", "qdisc", "del", "dev", device, "ingress"),
        ("ip", "link", "del", _IFB),
        ("nft", "delete", "table", "inet", _IFB),
    ]
