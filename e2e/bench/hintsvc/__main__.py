"""``python -m e2e.bench.hintsvc``: measures the hint service, and says which goals are met.

It needs wrk, nginx, redis-server, a C compiler, four cores and some quiet on the machine. Exit codes: 0 when
every goal is met, 1 when one is not or something failed, 2 for a wrong command line.
"""

import argparse
import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.hintsvc.chaos import chaos
from e2e.bench.hintsvc.ingest import ingest, memory
from e2e.bench.hintsvc.quota import exactness
from e2e.bench.hintsvc.serving import against_peers, at_given_load, storms
from e2e.bench.hintsvc.site import Site, site
from e2e.bench.hintsvc.streams import SUBSCRIBERS, streams
from e2e.bench.report import add_outputs, publish, tell
from e2e.commands import CommandError, run

HEAD: Final = """# The hint service, measured

`make bench-hintsvc` wrote this page. It measures real replicas with a real Redis over the loopback device. The replica
under test has core 0 to itself; Redis, the other replica and the nodes that report share core 1; the loads have the
other cores. Peers run in the same rounds on the same core as what they are compared with, and what is compared is the
ratio within each round. A latency counts from the time at which a request should have been sent.

`wrk` (closed loops), `nginx`, `redis-server` and `gcc` (for a clock that can be set) come from the distribution:
`apt-get install wrk nginx redis-server gcc`.
"""
_DESCRIPTORS: Final = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: of the closed loops.
        round_s: seconds of each.
        open_s: seconds of each open loop.
        subscribers: of one replica.
        stream_s: seconds that they are followed.
        ingest_s: seconds of batches.
        quota_s: seconds that clients fight for a quota.
    """

    rounds: int
    round_s: float
    open_s: float
    subscribers: int
    stream_s: float
    ingest_s: float
    quota_s: float


FULL: Final = Extent(
    rounds=5, round_s=4.0, open_s=15.0, subscribers=SUBSCRIBERS, stream_s=15.0, ingest_s=10.0, quota_s=75.0
)
QUICK: Final = Extent(rounds=1, round_s=1.0, open_s=2.0, subscribers=500, stream_s=2.0, ingest_s=2.0, quota_s=5.0)


ON_SITE: Final[Mapping[str, Callable[[Site, Extent], AsyncIterator[Figure]]]] = {
    "peers": lambda place, extent: against_peers(place, rounds=extent.rounds, seconds=extent.round_s),
    "load": lambda place, extent: at_given_load(place, seconds=extent.open_s),
    "storm": lambda place, _: storms(place),
    "streams": lambda place, extent: streams(place, subscribers=extent.subscribers, seconds=extent.stream_s),
    "ingest": lambda place, extent: ingest(place, seconds=extent.ingest_s),
}
"""What is measured on the same two replicas, one after the other."""
PARTS: Final = (*ON_SITE, "quota", "chaos")


async def measure(extent: Extent, parts: Collection[str]) -> AsyncIterator[Figure]:
    """Measure the parts that are asked for."""
    if any(part in parts for part in ON_SITE):
        async with site() as place:
            for name, part in ON_SITE.items():
                if name in parts:
                    async for figure in part(place, extent):
                        yield figure
            for figure in memory(place):
                yield figure
    if "quota" in parts:
        async for figure in exactness(seconds=extent.quota_s):
            yield figure
    if "chaos" in parts:
        async for figure in chaos():
            yield figure


async def told(measured: AsyncIterator[Figure]) -> list[Figure]:
    """Say each figure as soon as it is known, and return them all."""
    figures = []
    async for figure in measured:
        tell(figure)
        figures.append(figure)
    return figures


def versions() -> dict[str, str]:
    """Return the versions of the programs that take part.

    Raises:
        CommandError: one is not installed.
    """
    return {
        "Redis": run(["redis-server", "--version"]).split("v=")[1].split()[0],
        "nginx": run(["sh", "-c", "nginx -v 2>&1"]).partition("/")[2].strip(),
        "wrk": run(["sh", "-c", "wrk --version; true"]).split()[1],
        **{name: version(name) for name in ("aiohttp", "httptools", "uvloop", "redis")},
    }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.hintsvc", description=__doc__)
    add_outputs(parser)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone: not for reporting")
    parser.add_argument("--quick", action="store_true", help="measure briefly: for trying out, not for reporting")
    arguments = parser.parse_args()
    try:
        # Each subscriber is a descriptor on both sides; the programs inherit the limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
        found = versions()
        figures = asyncio.run(told(measure(QUICK if arguments.quick else FULL, arguments.only or PARTS)))
    except (BenchError, CommandError, ValueError) as error:
        print(f"e2e.bench.hintsvc: {error}", file=sys.stderr)
        return 1
    return publish(figures, arguments, head=HEAD, versions=found)


if __name__ == "__main__":
    sys.exit(main())
