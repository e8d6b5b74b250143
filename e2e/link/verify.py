"""``python -m e2e.link.verify``: the emulator of a path against what it was told to do, by UDP packets.

It needs root. Exit codes: 0 when every figure is as it should be, 1 when one is not or something failed.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import quantiles
from typing import Final

from e2e.commands import CommandError
from e2e.link.apply import LinkError
from e2e.link.emulated import Emulated, emulated
from e2e.link.path import Bursts, Conditions, Phase, outage

_PORT: Final = 7007
_HEADERS: Final = 28
_STAMP: Final = struct.Struct("!Id")
_SILENT_S: Final = 1.0
_NUMBER: Final = 253


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """What came out at the far end.

    Attributes:
        sent: packets that went in.
        came: packets that came out.
        disordered: of those, packets that came after a later one.
        kbit: rate from the first to the last, with headers.
        delay_p50_ms: median time on the way.
        delay_p99_ms: the same at the 99th percentile.
        longest_gap_s: longest time in which nothing came out.
    """

    sent: int
    came: int
    disordered: int
    kbit: float
    delay_p50_ms: float
    delay_p99_ms: float
    longest_gap_s: float

    @property
    def lost_percent(self) -> float:
        """Share of the packets that did not come out."""
        return 100 * (1 - self.came / self.sent)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A figure, and the bounds it must be in."""

    name: str
    value: float
    low: float
    high: float

    @property
    def right(self) -> bool:
        """Whether it is in its bounds."""
        return self.low <= self.value <= self.high


def send(path: Emulated, phases: tuple[Phase, ...], *, packets: int, size: int, per_second: float) -> Arrived:
    """Send packets through a path that begins with ``phases``, evenly in time, and return what came out."""
    command = ["ip", "netns", "exec", path.netns, sys.executable, "-m", "e2e.link.verify", path.far(1)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        if receiver.stdout is None or not receiver.stdout.readline():
            raise LinkError("nothing receives at the far end")
        path.begin(phases, seed=1)
        padding = bytes(size - _HEADERS - _STAMP.size)
        began = time.monotonic()
        for index in range(packets):
            time.sleep(max(0.0, began + index / per_second - time.monotonic()))
            sender.sendto(_STAMP.pack(index, time.monotonic()) + padding, (path.far(1), _PORT))
        return Arrived(sent=packets, **json.loads(receiver.stdout.readline()))


def checks(path: Emulated) -> Iterator[Check]:
    """Measure each thing that the emulator can do."""
    thin = Conditions(kbit=400, delay_ms=20, buffer_kib=32)
    met = send(path, (Phase(seconds=0, conditions=thin),), packets=300, size=1000, per_second=100)
    yield Check(name="rate of 400 kbit/s [kbit/s]", value=met.kbit, low=392, high=408)
    # 32 KiB at 400 kbit/s are 655 ms, and each packet takes 20 ms itself.
    yield Check(name="delay with its buffer of 32 KiB full, p99 [ms]", value=met.delay_p99_ms, low=640, high=705)

    far = Conditions(delay_ms=50, jitter_ms=10)
    met = send(path, (Phase(seconds=0, conditions=far),), packets=600, size=200, per_second=300)
    yield Check(name="delay of 50 ms and jitter of 10 ms, p50 [ms]", value=met.delay_p50_ms, low=54.0, high=57.5)
    yield Check(name="packets out of order", value=met.disordered, low=0, high=0)

    lossy = Conditions(loss_percent=5)
    met = send(path, (Phase(seconds=0, conditions=lossy),), packets=4000, size=200, per_second=4000)
    yield Check(name="losses of 5 % [%]", value=met.lost_percent, low=4.0, high=6.0)

    bursty = Conditions(bursts=Bursts(enter_percent=1, leave_percent=19))
    met = send(path, (Phase(seconds=0, conditions=bursty),), packets=8000, size=200, per_second=4000)
    yield Check(name="bursts of losses, 5 % in the long run [%]", value=met.lost_percent, low=3.5, high=6.5)

    stepped = Conditions(trace_kbit=(800, 200), step_s=0.5)
    met = send(path, (Phase(seconds=0, conditions=stepped),), packets=400, size=1000, per_second=200)
    yield Check(name="rates of a trace, 500 kbit/s on the whole [kbit/s]", value=met.kbit, low=480, high=530)

    phases = (
        Phase(seconds=0.5, conditions=Conditions(delay_ms=10)),
        outage(0.6, Conditions(delay_ms=40)),
        Phase(seconds=0, conditions=Conditions(delay_ms=40)),
    )
    met = send(path, phases, packets=400, size=200, per_second=200)
    yield Check(name="gap of a hand-over: 0.6 s, and 30 ms further [s]", value=met.longest_gap_s, low=0.6, high=0.68)
    yield Check(name="losses in a hand-over [%]", value=met.lost_percent, low=0, high=0)


def receive(address: str) -> None:
    """Take packets until none come any more, and print what they were like."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind((address, _PORT))
        print("ready", flush=True)
        arrivals = []
        while True:
            try:
                data = receiver.recv(2048)
            except TimeoutError:
                break
            arrivals.append((*_STAMP.unpack_from(data), time.monotonic(), len(data) + _HEADERS))
            receiver.settimeout(_SILENT_S)
    delays = quantiles([1000 * (came - left) for _, left, came, _ in arrivals], n=100, method="inclusive")
    pairs = list(pairwise(arrivals))
    met = {
        "came": len(arrivals),
        "disordered": sum(one[0] > other[0] for one, other in pairs),
        "kbit": sum(size for *_, size in arrivals[1:]) * 8 / 1000 / (arrivals[-1][2] - arrivals[0][2]),
        "delay_p50_ms": delays[49],
        "delay_p99_ms": delays[98],
        "longest_gap_s": max(other[2] - one[2] for one, other in pairs),
    }
    print(json.dumps(met), flush=True)


def main() -> int:
    """Run the command line."""
    if len(sys.argv) > 1:
        receive(sys.argv[1])
        return 0
    try:
        with emulated(f"tf-verify-{os.getpid()}", number=_NUMBER) as path:
            met = list(checks(path))
    except (CommandError, LinkError) as error:
        print(f"e2e.link.verify: {error}", file=sys.stderr)
        return 1
    for check in met:
        bounds = f"{check.low:g} to {check.high:g}"
        print(f"{'ok   ' if check.right else 'WRONG'} {check.name}: {check.value:.4g} ({bounds})")
    return 0 if all(check.right for check in met) else 1


if __name__ == "__main__":
    sys.exit(main())
