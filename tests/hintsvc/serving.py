"""A replica's two listeners in this process: what they serve is put in by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.hintsvc.support import runtime
from tests.serving.issuer import Issuer
from tokenflow_api.api_keys import KeyRing
from tokenflow_api.audit import AuditEntry
from tokenflow_api.hints import Hint, NodeHealth, Snapshot
from tokenflow_api.runtime import Grant, Role, RuntimeConfig
from tokenflow_api.serving.credentials import Credentials
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api.application import application
from tokenflow_hintsvc.api.service import Service
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.fast.listener import FastListener
from tokenflow_hintsvc.guard.access import Guard
from tokenflow_hintsvc.guard.audit import Audit
from tokenflow_hintsvc.guard.fetch import published
from tokenflow_hintsvc.view.answers import HintAnswers
from tokenflow_hintsvc.view.current import View
from tokenflow_hintsvc.view.feed import Feed
from tokenflow_hintsvc.view.packed import pack, unpack

KEY = "tfk_the-key-of-gold"
API = "API"
FAST = "fast listener"


@dataclass
class Clock:
    """A monotonic clock that stands still unless it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    """An audit log that keeps its entries."""

    entries: list[AuditEntry] = field(default_factory=list)

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        self.entries.extend(entries)


def hint(tenant: str, path: str = "*", *, rate: float = 42.0) -> Hint:
    return Hint.model_validate(
        {
            "tenant": tenant,
            "path": path,
            "tokens_per_second": rate,
            "batch_size": 4,
            "batch_delay_ms": 200,
            "health": 0.8,
            "state": "Congested",
            "source": "Live",
            "mode": "Enforce",
        }
    )


def snapshot(version: int = 1, *hints: Hint, term: int = 1, generation: int = 1, ttl_ms: int = 1000) -> Snapshot:
    return Snapshot(
        term=term,
        version=version,
        generation=generation,
        at_unix_ms=1_700_000_000_000 + version,
        ttl_ms=ttl_ms,
        health=0.8,
        hints=list(hints or (hint("gold"), hint("gold", "llama/192.0.2.0/24", rate=7.0), hint("open", rate=9.0))),
        nodes=[NodeHealth(agent="nodes", node="n1", health=0.5)],
    )


def config(*, generation: int = 1, **spec: object) -> RuntimeConfig:
    """Return a policy of tenant ``gold`` with keys and tenant ``open`` without; the gateway is known by its token."""
    tenants = [{"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}}, {"name": "open"}]
    security = {"requestsPerSecondPerIP": 100_000, "requestsPerSecondPerKey": 100_000}
    made = runtime(generation=generation, **({"tenants": tenants, "security": security} | spec))
    gateway = Grant(namespace="default", service_account="gateway", role=Role.GATEWAY)
    return made.model_copy(update={"grants": [gateway]})


@dataclass
class Serving:
    """What is served, and where.

    Attributes:
        service: the replica.
        listener: the fast listener.
        ports: of the listeners, by their names.
        clock: of the view and of the guard.
        issuer: of service-account tokens.
        audited: what was recorded.
    """

    service: Service
    listener: FastListener
    ports: dict[str, int]
    clock: Clock
    issuer: Issuer
    audited: Kept

    def publish(self, published: Snapshot) -> None:
        self.service.view.accept(unpack(pack(published)))

    def apply(self, changed: RuntimeConfig) -> None:
        self.service.configuration.current = changed
        self.service.guard.configure(changed)
        self.service.feed.announce(changed)

    async def connect(self, name: str) -> "Client":
        return Client(*await asyncio.open_connection("127.0.0.1", self.ports[name]))

    async def ask(self, name: str, target: str, *headers: str, method: str = "GET") -> "Answer":
        client = await self.connect(name)
        try:
            await client.send(request(target, *headers, method=method))
            return await client.answer(bodiless=method == "HEAD")
        finally:
            await client.close()


def request(target: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: replica", *headers, "", "")).encode()


@dataclass
class Answer:
    """A response as it was read."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    """One connection, spoken to in bytes; whatever takes longer than 30 s fails."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        lines = (await self._within(self.reader.readuntil(b"\r\n\r\n"))).decode().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-1])}
        return Answer(int(lines[0].split()[1]), headers, b"")

    async def answer(self, *, bodiless: bool = False) -> Answer:
        answer = await self.head()
        if not bodiless and "content-length" in answer.headers:
            answer.body = await self._within(self.reader.readexactly(int(answer.headers["content-length"])))
        return answer

    async def event(self) -> dict[str, str]:
        """Return the fields of the next event of a stream; a comment has the name of nothing."""
        while not (event := self._take_event()):
            size = int(await self._within(self.reader.readline()), 16)
            self._unread += await self._within(self.reader.readexactly(size))
            await self._within(self.reader.readexactly(2))
            if size == 0:
                return {"end": "of the stream"}
        return event

    async def ended(self) -> bool:
        """Whether the other side closes, with nothing more to say."""
        return await self._within(self.reader.read(1)) == b""

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    _unread: bytes = b""

    def _take_event(self) -> dict[str, str]:
        event, found, rest = self._unread.partition(b"\n\n")
        if not found:
            return {}
        self._unread = rest
        fields = (line.partition(":") for line in event.decode().splitlines())
        return {name: value.removeprefix(" ") for name, _, value in fields}

    async def _within(self, awaited: Any) -> Any:
        async with asyncio.timeout(30):
            return await awaited


@asynccontextmanager
async def serving(directory: Path, present: RuntimeConfig | None = None) -> AsyncIterator[Serving]:
    """Serve ``present`` on two ports; no snapshot is there yet."""
    (directory / "gold").mkdir()
    (directory / "gold" / "key").write_text(KEY)
    present = present or config()
    clock, issuer, kept = Clock(), Issuer(), Kept()
    audit = Audit(kept, replica="replica-0")
    credentials = Credentials(ring=KeyRing(directory), cluster=issuer, published=published, figures=metrics.SERVING)
    guard = Guard(present, credentials=credentials, audit=audit, clock=clock)
    configuration = Configuration()
    configuration.current = present
    view = View(clock=clock)
    feed = Feed(view)
    feed.announce(present)
    parts: dict[str, Any] = {
        "configuration": configuration,
        "view": view,
        "answers": HintAnswers(view),
        "feed": feed,
        "guard": guard,
        "audit": audit,
        "draining": asyncio.Event(),
    }
    # What these listeners do not touch is not there.
    service = Service(**(dict.fromkeys(part.name for part in fields(Service)) | parts))
    runner = web.AppRunner(application(service), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    listener = FastListener(service, host="127.0.0.1", port=0)
    ports = {API: runner.addresses[0][1], FAST: listener.port}
    try:
        yield Serving(service, listener, ports, clock, issuer, kept)
    finally:
        feed.end()
        await listener.close()
        await runner.cleanup()
