"""Reads streams through a link that is degraded half-way, and prints what it sees as JSON lines.

Runs in a pod with NET_ADMIN, since it shapes the link of its own network namespace. Lines are
``{"path": …}`` (the path as hints name it, first of all), ``{"phase": …}`` and ``{"tokens": …}`` (per event).
"""

import argparse
import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from e2e.link import Link
from e2e.link.apply import LinkError, apply

_EVENT = "data: "
_MAX_TOKENS = 6000
"""Of each stream: three at once are within what a tenant of the examples may take in one burst."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A stretch of the run with one kind of link."""

    name: str
    seconds: float
    link: Link | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """Where to read from, as whom, and through which link.

    Attributes:
        gateway: base URL of the gateway.
        tenant: tenant to read as.
        upstream: name of the upstream, the first half of the path that hints are asked for.
        model: model to ask for.
        streams: streams open at once.
        device: network device that the link is put before.
        phases: the link's history.
    """

    gateway: str
    tenant: str
    upstream: str
    model: str
    streams: int
    device: str
    phases: tuple[Phase, ...]


def emit(**fields: object) -> None:
    """Print one JSON line with the monotonic time."""
    print(json.dumps({"at": time.monotonic(), **fields}), flush=True)


async def run(scenario: Scenario) -> None:
    """Play the scenario once; streams are read throughout."""
    emit(path=f"{scenario.upstream}/{_own_class(scenario.gateway)}")
    timeout = httpx.Timeout(10.0, read=120.0)
    async with httpx.AsyncClient(timeout=timeout, limits=httpx.Limits(max_connections=None)) as client:
        readers = [asyncio.create_task(_read(client, scenario, number)) for number in range(scenario.streams)]
        try:
            for phase in scenario.phases:
                apply(phase.link, device=scenario.device)
                emit(phase=phase.name)
                await asyncio.sleep(phase.seconds)
            emit(phase="end")
        finally:
            apply(None, device=scenario.device)
            for task in readers:
                task.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


async def _read(client: httpx.AsyncClient, scenario: Scenario, number: int) -> None:
    """Keep one stream open; each event's tokens are counted by the words in it."""
    while True:
        try:
            async for event in _events(client, scenario):
                tokens = len(_content(event).split())
                if tokens:
                    emit(tokens=tokens, stream=number, bytes=len(event) + len("\n\n"))
        except httpx.HTTPError as error:
            emit(error=f"{type(error).__name__}: {error}", stream=number)
            await asyncio.sleep(1.0)


async def _events(client: httpx.AsyncClient, scenario: Scenario) -> AsyncIterator[str]:
    body = {
        "model": scenario.model,
        "stream": True,
        "max_tokens": _MAX_TOKENS,
        "messages": [{"role": "user", "content": "Tell a long story."}],
    }
    headers = {"x-tenant-id": scenario.tenant}
    url = f"{scenario.gateway}/v1/chat/completions"
    async with client.stream("POST", url, json=body, headers=headers) as response:
        if response.is_error:
            await response.aread()
            response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith(_EVENT):
                yield line


def _content(event: str) -> str:
    data = event.removeprefix(_EVENT)
    if data == "[DONE]":
        return ""
    return "".join(choice.get("delta", {}).get("content") or "" for choice in json.loads(data)["choices"])


def _own_class(gateway: str) -> str:
    """Return the /24 that this reader's address is in, as the agents see it."""
    url = httpx.URL(gateway)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((url.host, url.port or 80))
        address: str = probe.getsockname()[0]
    return address.rsplit(".", 1)[0] + ".0/24"


def main() -> int:
    """Run the command line; 1 when the link cannot be shaped."""
    parser = argparse.ArgumentParser(prog="e2e.reader", description=__doc__)
    parser.add_argument("--gateway", required=True, help="base URL of the gateway")
    parser.add_argument("--tenant", default="gold")
    parser.add_argument("--upstream", default="llama")
    parser.add_argument("--model", default="llama-3")
    parser.add_argument("--streams", type=int, default=3)
    parser.add_argument("--device", default="eth0")
    parser.add_argument("--clear-seconds", type=float, default=12.0)
    parser.add_argument("--degraded-seconds", type=float, default=25.0)
    parser.add_argument("--recovery-seconds", type=float, default=20.0)
    parser.add_argument("--rate-kbit", type=int, default=96)
    parser.add_argument("--queue-kib", type=int, default=24)
    parser.add_argument("--loss-percent", type=int, default=3)
    arguments = parser.parse_args()
    degraded = Link(rate_kbit=arguments.rate_kbit, queue_kib=arguments.queue_kib, loss_percent=arguments.loss_percent)
    scenario = Scenario(
        gateway=arguments.gateway,
        tenant=arguments.tenant,
        upstream=arguments.upstream,
        model=arguments.model,
        streams=arguments.streams,
        device=arguments.device,
        phases=(
            Phase(name="clear", seconds=arguments.clear_seconds, link=None),
            Phase(name="degraded", seconds=arguments.degraded_seconds, link=degraded),
            Phase(name="recovery", seconds=arguments.recovery_seconds, link=None),
        ),
    )
    try:
        asyncio.run(run(scenario))
    except LinkError as error:
        print(f"e2e.reader: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
