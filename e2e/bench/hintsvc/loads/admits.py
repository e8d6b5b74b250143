"""Clients that ask for more than a tenant may have: ``PORTS TENANT KEY CLIENTS SECONDS MAX_TOKENS USED_TOKENS``.

``PORTS`` are those of the replicas, with commas. Each client asks one after the other, and commits by another one than
admitted it. What was admitted is reported with its time of the monotonic clock, which all processes share.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

_AGAIN_S: Final = 0.02
"""Time that a client lets pass after a refusal."""
_HOST: Final = "127.0.0.1"


@dataclass(kw_only=True, slots=True)
class Report:
    """What all clients met.

    Attributes:
        admitted: times and tokens.
        statuses: how often each came.
        uncommitted: commits that did not count.
        alone: checks that a replica decided on its own.
    """

    admitted: list[tuple[float, int]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    uncommitted: int = 0
    alone: int = 0


@dataclass(kw_only=True, slots=True)
class Ask:
    """What every request asks for, and uses in the end."""

    tenant: str
    key: str
    max_tokens: int
    used_tokens: int


async def post(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], path: str, document: dict[str, Any], *, key: str
) -> tuple[int, dict[str, Any]]:
    """Send a document and return the answer."""
    source, sink = streams
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    sink.write(head.encode() + body)
    answered = await source.readuntil(b"\r\n\r\n")
    _, _, rest = answered.lower().partition(b"content-length:")
    return int(answered[9:12]), json.loads(await source.readexactly(int(rest.partition(b"\r\n")[0])))


async def client(index: int, ports: list[int], ask: Ask, *, end: float, report: Report) -> None:
    """Ask the replicas in turn until ``end``."""
    connections = [await asyncio.open_connection(_HOST, port) for port in ports]
    while time.monotonic() < end:
        index += 1
        here, there = connections[index % len(ports)], connections[(index + 1) % len(ports)]
        wanted = {"tenant": ask.tenant, "max_tokens": ask.max_tokens}
        status, reply = await post(here, "/v1/admit", wanted, key=ask.key)
        report.statuses[status] += 1
        report.alone += reply.get("admission", reply).get("local", False)
        if not reply.get("admitted"):
            await asyncio.sleep(_AGAIN_S)
            continue
        report.admitted.append((time.monotonic(), ask.used_tokens))
        done = {"reservation": reply["reservation"], "output_tokens": ask.used_tokens, "duration_ms": 1}
        _, committed = await post(there, "/v1/commit", done, key=ask.key)
        report.uncommitted += not committed.get("committed")
    for _, sink in connections:
        sink.close()


async def ask_all(ports: list[int], ask: Ask, *, clients: int, seconds: float) -> Report:
    """Let all clients ask for so long."""
    report = Report()
    end = time.monotonic() + seconds
    await asyncio.gather(*(client(index, ports, ask, end=end, report=report) for index in range(clients)))
    return report


if __name__ == "__main__":
    listed, name, secret, number, lasting, most, used = sys.argv[1:]
    met = asyncio.run(
        ask_all(
            [int(port) for port in listed.split(",")],
            Ask(tenant=name, key=secret, max_tokens=int(most), used_tokens=int(used)),
            clients=int(number),
            seconds=float(lasting),
        )
    )
    told = {"admitted": met.admitted, "statuses": met.statuses, "uncommitted": met.uncommitted, "alone": met.alone}
    print(json.dumps(told))
