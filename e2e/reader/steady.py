"""Reads hints and streams without a pause, and counts what fails.

Runs in a pod by its text alone: ``kubectl exec -i POD -- python3 - ARGUMENTS < e2e/reader/steady.py``. Once the
file ``STOP`` is there, it ends what it has begun and prints one line of JSON.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

STOP = Path("/tmp/stop")  # noqa: S108 - in a pod of its own
_READ_PAUSE_S = 0.02
_TIMEOUT_S = 5.0
_STREAM_TOKENS = 200
_NAMED = 10


class Tally:
    """What was read, and what failed."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []

    async def count(self, what: str, read: Callable[[], Awaitable[None]]) -> None:
        """Make one read, and note how it ended."""
        try:
            await read()
        except (httpx.HTTPError, KeyError, ValueError) as error:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {what}: {type(error).__name__}: {error}")
        else:
            self.done[what] += 1


async def _hint(client: httpx.AsyncClient, url: str) -> None:
    response = await client.get(url)
    response.raise_for_status()
    if response.json()["hint"]["tokens_per_second"] <= 0:
        raise ValueError("no rate")


async def _stream(client: httpx.AsyncClient, url: str, tenant: str) -> None:
    body = {
        "model": "llama-3",
        "stream": True,
        "max_tokens": _STREAM_TOKENS,
        "messages": [{"role": "user", "content": "x"}],
    }
    last = ""
    async with client.stream("POST", url, json=body, headers={"x-tenant-id": tenant}) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            last = line or last
    if last != "data: [DONE]":
        raise ValueError(f"the stream broke off after {last[:80]!r}")


@asynccontextmanager
async def _fresh() -> AsyncIterator[httpx.AsyncClient]:
    """A client whose every request makes a connection of its own."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, limits=limits) as client:
        yield client


async def _read(arguments: argparse.Namespace) -> Tally:
    tally = Tally()
    hint_url = f"{arguments.hints}/v1/hints/{arguments.tenant}"
    stream_url = f"{arguments.gateway}/v1/chat/completions"
    end = time.monotonic() + arguments.seconds

    def wanted() -> bool:
        return time.monotonic() < end and not STOP.exists()

    async def again(what: str, read: Callable[[], Awaitable[None]]) -> None:
        while wanted():
            await tally.count(what, read)
            await asyncio.sleep(_READ_PAUSE_S)

    async with _fresh() as fresh, httpx.AsyncClient(timeout=_TIMEOUT_S) as kept:
        await asyncio.gather(
            again("hint by a new connection", lambda: _hint(fresh, hint_url)),
            again("hint by a kept connection", lambda: _hint(kept, hint_url)),
            *(again("stream", lambda: _stream(fresh, stream_url, arguments.tenant)) for _ in range(arguments.streams)),
        )
    return tally


def main() -> int:
    """Run the command line: 0 when nothing failed, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hints", required=True, help="base URL of the hint service")
    parser.add_argument("--gateway", required=True, help="base URL of the gateway")
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--streams", type=int, default=4, help="streams open at once")
    parser.add_argument("--seconds", type=float, default=300.0, help="most seconds to begin new reads in")
    STOP.unlink(missing_ok=True)
    tally = asyncio.run(_read(parser.parse_args()))
    print(json.dumps({"done": tally.done, "failed": len(tally.failures), "failures": tally.failures[:_NAMED]}))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
