"""``tokenflow bench``: puts load on an endpoint, and tells what its readers had of it."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import httpx

from tokenflow_client._command.completion import Piece, complete
from tokenflow_client._command.counting import arrivals
from tokenflow_client._command.demand import MOST_REQUESTS, Demand, Request, prompt
from tokenflow_client._command.endpoint import CONNECT_S, Endpoint, connecting
from tokenflow_client._command.errors import CommandError, CompletionError
from tokenflow_client._command.load import Generator, Outcome
from tokenflow_client._command.report import Report, report
from tokenflow_client._command.report_text import text


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A run of load.

    Attributes:
        endpoints: the endpoint, once for each tenant.
        model: model to ask for.
        demand: the requests to make.
        max_streams: streams open at once.
        timeout_s: seconds that a request may take in all, and that one held back may wait for its turn.
        ignore_eos: whether engines are asked to go on to the full length, as vLLM and SGLang can.
        reading_rates: tokens per second of the readers to imagine.
        first_token_s: seconds in which they expect the first token.
    """

    endpoints: Sequence[Endpoint]
    model: str
    demand: Demand
    max_streams: int
    timeout_s: float
    ignore_eos: bool
    reading_rates: Sequence[float]
    first_token_s: float


def run(bench: Bench, *, as_json: bool) -> int:
    """Put the load on, and print the report: 0 where requests ended well, 1 where none did.

    Raises:
        CommandError: there is nothing to do, or too much.
        KeyboardInterrupt: Ctrl-C cut it short; the report is printed.
    """
    demand = bench.demand
    if demand.rate * demand.duration_s > MOST_REQUESTS:
        raise CommandError(f"more than {MOST_REQUESTS} requests are due: lower --rate or --duration")
    plan = bench.demand.requests()
    if not plan:
        raise CommandError("no request is due within --duration: raise --rate or --duration")
    if not as_json:
        sys.stderr.write(f"{len(plan)} requests over {bench.demand.duration_s:g} s; Ctrl-C ends early\n")
    found, whole = asyncio.run(_run(bench, plan))
    sys.stdout.write(json.dumps(asdict(found), indent=2) + "\n" if as_json else text(found))
    if not whole:
        sys.stderr.write("tokenflow bench: interrupted: the report is of the requests that had ended\n")
        raise KeyboardInterrupt
    return 0 if sum(found.errors.values()) < found.requests else 1


async def _run(bench: Bench, plan: Sequence[Request]) -> tuple[Report, bool]:
    """Return the report, and whether the run came to its end."""
    whole = True
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(bench.timeout_s, connect=min(CONNECT_S, bench.timeout_s))
    with connecting():
        pool = httpx.AsyncClient(limits=limits, timeout=timeout)
    async with pool as client:
        generator = Generator(
            lambda request, due_s: _send(client, bench, request, due_s), max_streams=bench.max_streams
        )
        try:
            await generator.play(plan, patience_s=bench.timeout_s)
        except asyncio.CancelledError:
            # Ctrl-C: what is known so far is still told.
            whole = False
    end_s = time.monotonic()
    return report(
        generator.run, end_s=end_s, reading_rates=bench.reading_rates, first_token_s=bench.first_token_s
    ), whole


async def _send(client: httpx.AsyncClient, bench: Bench, request: Request, due_s: float) -> Outcome:
    pieces: list[Piece] = []
    error = ""
    body = {
        "model": bench.model,
        "max_tokens": request.output_tokens,
        "messages": [{"role": "user", "content": prompt(request)}],
    }
    try:
        async with (
            asyncio.timeout(bench.timeout_s),
            complete(
                client, bench.endpoints[request.tenant], body | ({"ignore_eos": True} if bench.ignore_eos else {})
            ) as answer,
        ):
            async for piece in answer.pieces():
                pieces.append(piece)  # noqa: PERF401 - what arrived before a failure counts too
    except CompletionError as failure:
        error = failure.code
    except TimeoutError:
        error = "timeout"
    return Outcome(request=request, start_s=due_s, end_s=time.monotonic(), arrivals=arrivals(pieces), error=error)
