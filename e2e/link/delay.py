"""A path that takes time, and loses some, between two network namespaces of this machine.

netem would say it in one line, but many kernels of minimal machines lack it: here a process stands between two
TUN devices and holds every packet back. Run as ``python -m e2e.link.delay ONE OTHER DELAY_US LOSS_PERCENT``, the
first two being names of network namespaces; it says ``ready`` when the path is open, and closes it when its
standard input ends.
"""

import os
import random
import select
import sys
import time
from collections import deque
from typing import Final

from e2e.link.tun import PACKET_BYTES, open_end

ADDRESSES: Final = ("198.18.7.1", "198.18.7.2")
"""Of the two ends."""
_QUEUE: Final = 10_000
_SPIN_S: Final = 0.002
"""What is due so soon is waited for awake: sleeping would take some 100 us too long."""
_IDLE_S: Final = 0.1


def forward(ends: tuple[int, int], *, delay_s: float, loss_percent: float) -> None:
    """Carry packets between the ends until standard input ends."""
    chance = random.Random(7)  # noqa: S311 - the same losses in each run
    held: deque[tuple[float, int, bytes]] = deque()
    idle_s = _IDLE_S if delay_s > _SPIN_S else 0.0
    while True:
        wait = held[0][0] - time.perf_counter() - _SPIN_S if held else idle_s
        readable, _, _ = select.select([*ends, sys.stdin], [], [], max(0.0, wait))
        if sys.stdin in readable:
            return
        for end in ends:
            if end in readable:
                packet = os.read(end, PACKET_BYTES)
                if chance.random() * 100 >= loss_percent and len(held) < _QUEUE:
                    held.append((time.perf_counter() + delay_s, ends[end == ends[0]], packet))
        while held and held[0][0] <= time.perf_counter():
            _, end, packet = held.popleft()
            os.write(end, packet)


def main() -> int:
    """Open the path and carry packets."""
    one, other, delay_us, loss_percent = sys.argv[1:]
    first, second = (
        open_end(f"tf{os.getpid()}", netns=netns, address=f"{address}/24")
        for netns, address in zip((one, other), ADDRESSES, strict=True)
    )
    print("ready", flush=True)
    forward((first, second), delay_s=int(delay_us) / 1e6, loss_percent=float(loss_percent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
