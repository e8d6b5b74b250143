"""A path between this network namespace and another one, carried by this process: it runs on any kernel.

Run as ``python -m e2e.link.emulator NETNS NUMBER``. The near end is ``10.NUMBER.255.1``, the far one
``10.NUMBER.255.2``; in the far namespace every address of ``10.NUMBER.0.0/17`` is a local one too, so that readers
can come from networks that nobody came from before. A line on standard input is a request as JSON, and each is
answered by one line: ``{"phases": [...], "seed": 1}`` starts new conditions now and counts anew, ``{}`` tells what
was counted. The path is there until standard input ends.
"""

import json
import os
import select
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from e2e.commands import run
from e2e.link.observed import Observed, Observer
from e2e.link.path import Conditions, Direction, Lost, Phase, upward
from e2e.link.tun import PACKET_BYTES, open_end

CLEAR: Final = (Phase(seconds=0, conditions=Conditions()),)
PHASES: Final = TypeAdapter(tuple[Phase, ...])
OBSERVED: Final = TypeAdapter(Observed)
_IDLE_S: Final = 1.0
_MOST_AT_ONCE: Final = 64
_MOST_HELD: Final = 50_000


@dataclass(slots=True)
class Way:
    """A direction with the packets that are under way in it."""

    source: int
    sink: int
    direction: Direction
    observer: Observer
    held: deque[tuple[float, bytes]]

    def take(self) -> None:
        """Read what waits at the source, a share of it at a time."""
        for _ in range(_MOST_AT_ONCE):
            try:
                packet = os.read(self.source, PACKET_BYTES)
            except BlockingIOError:
                return
            self.observer.take(packet)
            out = self.direction.offer(len(packet), at=time.monotonic())
            if isinstance(out, Lost) or len(self.held) >= _MOST_HELD:
                self.observer.observed.lost[out if isinstance(out, Lost) else Lost.BUFFER] += 1
            else:
                self.held.append((out, packet))

    def give(self) -> None:
        """Write what is due at the sink."""
        while self.held and self.held[0][0] <= time.monotonic():
            os.write(self.sink, self.held.popleft()[1])


class Path:
    """Both directions of a path.

    Args:
        near: descriptor of the near end.
        far: that of the far end.
    """

    def __init__(self, near: int, far: int) -> None:
        self._ends = near, far
        self.ways: tuple[Way, ...] = ()
        self.begin(CLEAR, seed=0)

    def begin(self, phases: Sequence[Phase], *, seed: int) -> None:
        """Let new conditions hold from now on; what is under way is lost."""
        near, far = self._ends
        now = time.monotonic()
        self.ways = (
            Way(near, far, Direction(phases, began=now, seed=seed), Observer(), deque()),
            Way(far, near, Direction(upward(phases), began=now, seed=~seed), Observer(), deque()),
        )

    def wait_s(self) -> float:
        """Return the seconds until a packet is due."""
        due = [way.held[0][0] for way in self.ways if way.held]
        return max(0.0, min(due) - time.monotonic()) if due else _IDLE_S

    def answer(self, request: dict[str, Any]) -> bytes:
        """Return what was counted downwards since the conditions began, and begin the new ones that are asked for."""
        counted = OBSERVED.dump_json(self.ways[0].observer.observed)
        if "phases" in request:
            self.begin(PHASES.validate_python(request["phases"]), seed=request["seed"])
        return counted


def carry(path: Path) -> None:
    """Carry packets until standard input ends."""
    requests = b""
    control = sys.stdin.fileno()
    while True:
        readable, _, _ = select.select([control, *(way.source for way in path.ways)], [], [], path.wait_s())
        if control in readable:
            part = os.read(control, PACKET_BYTES)
            if not part:
                return
            *whole, requests = (requests + part).split(b"\n")
            for line in whole:
                print(path.answer(json.loads(line)).decode(), flush=True)
        for way in path.ways:
            if way.source in readable:
                way.take()
            way.give()


def main() -> int:
    """Open the path, say so, and carry packets."""
    netns, number = sys.argv[1:]
    near = open_end(f"tf-near-{number}", netns=None, address=f"10.{number}.255.1/16")
    far = open_end(f"tf-far-{number}", netns=netns, address=f"10.{number}.255.2/16")
    run(["ip", "-n", netns, "link", "set", "lo", "up"])
    run(["ip", "-n", netns, "route", "add", "local", f"10.{number}.0.0/17", "dev", "lo"])
    print("{}", flush=True)
    carry(Path(near, far))
    return 0


if __name__ == "__main__":
    sys.exit(main())
