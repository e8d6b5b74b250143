"""``python -m e2e.bench.hintsvc.quota``: how exact the quotas are over three replicas, and how quick a check is."""

import argparse
import asyncio
import bisect
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from e2e.bench.errors import BenchError
from e2e.bench.figures import Figure
from e2e.bench.hintsvc.cluster import Cluster, cluster, directory
from e2e.bench.hintsvc.load import CORES, finish, latencies, load
from e2e.bench.hintsvc.policy import api_key
from e2e.bench.hintsvc.redis import RedisServer
from e2e.bench.proc import processor_s
from e2e.bench.programs import running

REPLICAS: Final = 3
CLIENTS: Final = 50
MINUTE_S: Final = 60.0
EXACT_PERCENT: Final = 1
"""Both how near the limit a minute must come, and what all replicas may hold leased."""
_SETTLE_S: Final = 2.0
_GRACE_S: Final = 30.0
_CHECKS_S: Final = 5.0
_CONNECTIONS: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A tenant whose limit is fought for.

    Attributes:
        name: of the tenant.
        what: is limited.
        limit: in a minute.
        burst: at once.
        each: how much of it one request takes in the end.
        max_tokens: that one request reserves.
        clients: that ask.
        fields: of the tenant.
    """

    name: str
    what: str
    limit: int
    burst: int
    each: int
    max_tokens: int
    clients: int
    fields: dict[str, Any]

    def expected(self, seconds: float) -> float:
        """Return how much of it may be admitted in the first ``seconds``."""
        return min(self.limit, self.burst + self.limit * seconds / MINUTE_S)


CASES: Final = (
    Case(
        name="gold",
        what="requests",
        limit=6000,
        burst=6000,
        each=1,
        max_tokens=10,
        clients=CLIENTS,
        fields={"requestsPerMinute": 6000, "tokensPerMinute": 10**9, "burstTokens": 10**8},
    ),
    Case(
        name="silver",
        what="tokens",
        limit=600_000,
        burst=60_000,
        each=120,
        max_tokens=200,
        clients=CLIENTS,
        fields={"requestsPerMinute": 10**7, "tokensPerMinute": 600_000, "burstTokens": 60_000},
    ),
    Case(
        name="bronze",
        what="requests",
        limit=10,
        burst=10,
        each=1,
        max_tokens=10,
        clients=CLIENTS,
        fields={"requestsPerMinute": 10, "tokensPerMinute": 10**9, "burstTokens": 10**8},
    ),
)
_QUICK_TENANT: Final = "batch"


async def exactness(*, seconds: float) -> AsyncIterator[Figure]:
    """Let clients ask three replicas for more than their tenants may have, all tenants at the same time.

    Args:
        seconds: that the clients ask; below a minute only the first burst is seen.

    Raises:
        BenchError: a replica or a load does not start, or fails.
    """
    async with directory() as place:
        redis = RedisServer(place)
        with running(redis.program):
            redis.start()
            async with cluster(place, redis=redis, replicas=REPLICAS, spec=_spec()) as whole:
                # A Redis that knows nothing lets every replica tell what it knows first.
                await asyncio.sleep(_SETTLE_S)
                fights = await asyncio.gather(*(_fight(whole, case, seconds=seconds) for case in CASES))
                for figure in itertools.chain.from_iterable(fights):
                    yield figure
                yield await _checks(whole)


def _spec() -> dict[str, Any]:
    fast: dict[str, Any] = {
        "requestsPerMinute": 10**7,
        "tokensPerMinute": 10**9,
        "burstTokens": 10**9,
        "maxConcurrentStreams": 10**5,
    }
    tenants: list[dict[str, Any]] = [
        {"name": case.name, "apiKeysSecretRef": {"name": f"{case.name}-keys"}, "maxConcurrentStreams": 1000}
        | case.fields
        for case in CASES
    ]
    tenants.append({"name": _QUICK_TENANT, "apiKeysSecretRef": {"name": f"{_QUICK_TENANT}-keys"}} | fast)
    upstream = {"name": "llama", "url": "http://llama.invalid", "maxConcurrentRequests": 100_000}
    return {"tenants": tenants, "gateway": {"upstreams": [upstream]}}


async def _fight(whole: Cluster, case: Case, *, seconds: float) -> list[Figure]:
    ports = ",".join(str(replica.api_port) for replica in whole.replicas)

    async def one(core: int) -> Any:
        arguments = (ports, case.name, api_key(case.name), case.clients // len(CORES), seconds)
        async with load("admits", *arguments, case.max_tokens, case.each, core=core) as process:
            return await finish(process, what="admits", timeout_s=seconds + _GRACE_S)

    reports = await asyncio.gather(*(one(core) for core in CORES))
    amount = case.each if case.what == "tokens" else 1
    admitted = sorted(at for report in reports for at, _ in report["admitted"])
    statuses: Counter[str] = sum((Counter(report["statuses"]) for report in reports), Counter())
    if not admitted:
        raise BenchError(f"nothing was admitted for {case.name}: {dict(statuses)}")
    failed = {status: number for status, number in statuses.items() if status not in {"200", "429"}}
    uncommitted = sum(report["uncommitted"] for report in reports)
    alone = sum(report["alone"] for report in reports)
    window = min(seconds, MINUTE_S)
    first = bisect.bisect_left(admitted, admitted[0] + window) * amount
    most = _most_in_a_minute(admitted) * amount
    expected, lease = case.expected(window), case.limit * EXACT_PERCENT / 100
    how = (
        f"{REPLICAS} replicas, {case.clients} clients that ask each in turn and commit at the next,"
        f" {statuses.total():,} checks in {seconds:.0f} s; {sum(failed.values())} failed, {alone} were decided"
        f" by a replica alone, {uncommitted} commits did not count"
    )
    limit = f"{case.limit:,} {case.what} per minute"
    return [
        Figure(
            name=f"Admitted of {limit}, in the first {window:.0f} s",
            value=f"{first:,} of {expected:,.0f} ({first / expected:.2%})",
            goal=f"within {EXACT_PERCENT} %",
            met=abs(first - expected) <= expected * EXACT_PERCENT / 100 and not failed and not uncommitted,
            how=how,
        ),
        Figure(
            name=f"Most admitted in any minute, of {limit}",
            value=f"{most:,}",
            goal=f"<= {case.limit + lease:,.0f}, the limit and the stated lease",
            met=most <= case.limit + lease,
            how=f"every minute that ends with an admission, in {seconds:.0f} s",
        ),
    ]


def _most_in_a_minute(times: list[float]) -> int:
    return max(index + 1 - bisect.bisect_right(times, at - MINUTE_S) for index, at in enumerate(times))


async def _checks(whole: Cluster) -> Figure:
    replica = (await whole.followers())[0]
    before = processor_s(replica.program.pid)
    arguments = (replica.api_port, _QUICK_TENANT, api_key(_QUICK_TENANT), _CONNECTIONS, _CHECKS_S)
    async with load("checks", *arguments, core=CORES[0]) as process:
        report = await finish(process, what="checks", timeout_s=_CHECKS_S + _GRACE_S)
    share = (processor_s(replica.program.pid) - before) / _CHECKS_S
    found = latencies(report["times_us"], per_ms=1000)
    return Figure(
        name="Quota checks of one replica over HTTP",
        value=f"{report['statuses'].get('200', 0) / _CHECKS_S:,.0f}/s; {found}",
        how=f"closed loop of {_CONNECTIONS} connections, {share:.0%} of a core; statuses {report['statuses']}",
    )


async def _main(seconds: float) -> int:
    missed = 0
    async for figure in exactness(seconds=seconds):
        print(f"{figure.name}: {figure.value} {figure.goal} {'' if figure.met is not False else 'NOT MET'}")
        print(f"    {figure.how}", flush=True)
        missed += figure.met is False
    return 1 if missed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.hintsvc.quota", description=__doc__)
    parser.add_argument("--seconds", type=float, default=75.0, help="that the clients ask")
    try:
        sys.exit(asyncio.run(_main(parser.parse_args().seconds)))
    except BenchError as error:
        print(f"e2e.bench.hintsvc.quota: {error}", file=sys.stderr)
        sys.exit(1)
