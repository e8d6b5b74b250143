"""``python -m e2e.bench.agent``: measures the node agent, and says which goals are met.

It needs root and BPF, and some quiet on the machine. Exit codes: 0 when every goal is met, 1 when one is not or
something failed, 2 for a wrong command line.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from e2e.bench.agent.accuracy import accuracy
from e2e.bench.agent.cost import costs
from e2e.bench.agent.impact import impact
from e2e.bench.agent.loss import losses
from e2e.bench.agent.site import Site, site
from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.report import add_outputs, publish, tell
from e2e.commands import CommandError

HEAD: Final = """# The node agent, measured

`make bench-agent` wrote this page. It measures a real agent process; the loads run beside it in a network namespace
of their own, whose kernel counters are the truth that the agent's figures are compared with.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How long everything is measured.

    Attributes:
        cost_s: seconds under each load.
        rounds: of the comparison with and without the agent.
        stream_s: seconds of bulk stream in each case of a round.
        web_s: seconds of requests in each case of a round.
        lossy_s: seconds of a stream over a lossy link.
        requests: HTTP requests to count.
        outage_s: seconds without a hint service.
    """

    cost_s: float
    rounds: int
    stream_s: float
    web_s: float
    lossy_s: float
    requests: int
    outage_s: float


FULL: Final = Extent(cost_s=10.0, rounds=14, stream_s=0.7, web_s=1.5, lossy_s=5.0, requests=2000, outage_s=60.0)
QUICK: Final = Extent(cost_s=2.0, rounds=1, stream_s=0.5, web_s=1.0, lossy_s=1.0, requests=200, outage_s=2.0)


def measure(place: Site, extent: Extent) -> Iterator[Figure]:
    """Measure everything."""
    yield from costs(place, seconds=extent.cost_s)
    yield from impact(place, rounds=extent.rounds, stream_s=extent.stream_s, web_s=extent.web_s)
    yield from accuracy(place, stream_s=extent.lossy_s, requests=extent.requests)
    yield from losses(place, outage_s=extent.outage_s)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.agent", description=__doc__)
    add_outputs(parser)
    parser.add_argument(
        "--quick", action="store_true", help="measure for a minute or two: for trying out, not for reporting"
    )
    arguments = parser.parse_args()
    figures = []
    try:
        with site() as place:
            for figure in measure(place, QUICK if arguments.quick else FULL):
                tell(figure)
                figures.append(figure)
    except (BenchError, CommandError) as error:
        print(f"e2e.bench.agent: {error}", file=sys.stderr)
        return 1
    return publish(figures, arguments, head=HEAD)


if __name__ == "__main__":
    sys.exit(main())
