"""``python -m e2e.bench.operator``: measures the operator, and says which goals are met.

It needs root for a mount namespace, Go for what it builds once, four cores and some quiet on the machine. Exit codes:
0 when every goal is met, 1 when one is not or something failed, 2 for a wrong command line.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.operator.chaos import chaos
from e2e.bench.operator.population import Population
from e2e.bench.operator.rollout import rollouts
from e2e.bench.operator.scale import scale
from e2e.bench.report import add_outputs, publish, tell
from e2e.cluster.binaries import KUBERNETES_VERSION
from e2e.cluster.errors import ClusterError
from e2e.commands import CommandError

HEAD: Final = """# The operator, measured

`make bench-operator` wrote this page. A real API server, etcd, controller manager and scheduler run on the loopback
device of one machine, with the operator as a process of its own beside them. The nodes are fake ones by kwok, so that
there can be a thousand; their pods turn ready and run nothing. In place of the hint services, a stand-in answers what
well replicas would. How often the operator asks the API server for something is counted by that itself, in its audit
log.

In the chaos scenarios the operator reaches its API server through a proxy that makes trouble. *As planned* means that
every object is as the pure plan renders it from the same resources in an empty cluster, that nothing else is there,
and that every resource says that it is ready.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        population: to look after.
        changes: of one policy after the other.
        rest_s: seconds at rest.
        kills: most writes at which the operator is killed, for each thing that it does.
        hold_s: seconds of each disturbance.
    """

    population: Population
    changes: int
    rest_s: float
    kills: int
    hold_s: float


FULL: Final = Extent(
    population=Population(nodes=1000, teams=10, policies=20, tenants=10),
    changes=200,
    rest_s=60.0,
    kills=100,
    hold_s=5.0,
)
QUICK: Final = Extent(
    population=Population(nodes=50, teams=2, policies=5, tenants=10), changes=10, rest_s=20.0, kills=3, hold_s=1.5
)

PARTS: Final[Mapping[str, Callable[[Extent], AsyncIterator[Figure]]]] = {
    "scale": lambda extent: scale(extent.population, changes=extent.changes, rest_s=extent.rest_s),
    "rollout": lambda extent: rollouts(nodes=extent.population.nodes),
    "chaos": lambda extent: chaos(kills_each=extent.kills, hold_s=extent.hold_s),
}


async def measure(extent: Extent, parts: Collection[str]) -> list[Figure]:
    """Measure the parts that are asked for, and say each figure as soon as it is known."""
    figures = []
    async for figure in _measured(extent, [name for name in PARTS if name in parts]):
        tell(figure)
        figures.append(figure)
    return figures


async def _measured(extent: Extent, parts: Sequence[str]) -> AsyncIterator[Figure]:
    for name in parts:
        try:
            async for figure in PARTS[name](extent):
                yield figure
        except* (BenchError, CommandError) as failures:
            # What the other parts measure stands for itself.
            yield Figure(name=f"Part {name} to its end", value=_words(failures), goal="done", met=False)


def _words(error: BaseException) -> str:
    """Return the first line of what the errors of a group say, however deep they lie."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_words, error.exceptions))
    return str(error).partition("\n")[0]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.operator", description=__doc__)
    add_outputs(parser)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone: not for reporting")
    parser.add_argument("--quick", action="store_true", help="measure briefly: for trying out, not for reporting")
    arguments = parser.parse_args()
    try:
        figures = asyncio.run(measure(QUICK if arguments.quick else FULL, arguments.only or PARTS))
    except ClusterError as error:
        print(f"e2e.bench.operator: {error}", file=sys.stderr)
        return 1
    found = {"Kubernetes": KUBERNETES_VERSION, **{name: version(name) for name in ("kopf", "kubernetes", "aiohttp")}}
    return publish(figures, arguments, head=HEAD, versions=found)


if __name__ == "__main__":
    sys.exit(main())
