"""The tenants' Secrets, watched through an API server that speaks as the real one does."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.hintsvc.support import runtime
from tokenflow_api.api_keys import KeyRing
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.sources.api_server import ApiServer
from tokenflow_hintsvc.sources.secrets import SecretsWatch


class Secrets:
    """The Secrets of a namespace, as they may be watched."""

    def __init__(self) -> None:
        self.allowed = True
        self.watched: list[str] = []
        self._values: dict[str, dict[str, bytes]] = {}
        self._changed = asyncio.Condition()

    async def put(self, name: str, **values: bytes) -> None:
        async with self._changed:
            self._values[name] = values
            self._changed.notify_all()

    async def remove(self, name: str) -> None:
        async with self._changed:
            del self._values[name]
            self._changed.notify_all()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.query["fieldSelector"].removeprefix("metadata.name=")
        if not self.allowed:
            return web.json_response({"message": "secrets is forbidden"}, status=403)
        self.watched.append(name)
        response = web.StreamResponse()
        await response.prepare(request)
        known: object = None
        async with self._changed:
            while True:
                values = self._values.get(name)
                if values != known:
                    await response.write(_event("DELETED" if values is None else "MODIFIED", values or {}))
                known = values
                await self._changed.wait()


def _event(kind: str, values: dict[str, bytes]) -> bytes:
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    return json.dumps({"type": kind, "object": {"data": data}}).encode() + b"\n"


def config(**secrets: str) -> RuntimeConfig:
    return runtime(tenants=[{"name": name, "apiKeysSecretRef": {"name": ref}} for name, ref in secrets.items()])


@dataclass
class Watching:
    secrets: Secrets
    ring: KeyRing
    watch: SecretsWatch
    current: RuntimeConfig
    changed: asyncio.Event

    def configure(self, current: RuntimeConfig) -> None:
        self.current = current
        self.watch.configure(current)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while True:
                self.changed.clear()
                self.ring.refresh(self.current.spec.tenants)
                if holds():
                    return
                await self.changed.wait()

    def knows(self, key: str) -> bool:
        return self.ring.find(key) is not None


@asynccontextmanager
async def watching(directory: Path, current: RuntimeConfig) -> AsyncIterator[Watching]:
    secrets, changed = Secrets(), asyncio.Event()
    (directory / "token").write_text("the-token")
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/default/secrets", secrets.answer)
    async with TestServer(app) as running:
        server = ApiServer(url=str(running.make_url("")).rstrip("/"), token_file=directory / "token", authorities=None)
        ring = KeyRing(directory / "tenants")
        watch = SecretsWatch(server=server, namespace="default", ring=ring, changed=changed.set, ask_again_s=0.01)
        watch.configure(current)
        working = asyncio.create_task(watch.run())
        yield Watching(secrets, ring, watch, current, changed)
        working.cancel()


async def test_a_key_counts_as_soon_as_its_secret_changes(tmp_path: Path) -> None:
    async with watching(tmp_path, config(gold="gold-keys")) as now:
        await now.secrets.put("gold-keys", first=b"sk-first\n")
        await now.until(lambda: now.knows("sk-first"))
        await now.secrets.put("gold-keys", second=b"sk-second")
        await now.until(lambda: now.knows("sk-second") and not now.knows("sk-first"))


async def test_a_secret_that_is_deleted_takes_its_keys_with_it(tmp_path: Path) -> None:
    async with watching(tmp_path, config(gold="gold-keys")) as now:
        await now.secrets.put("gold-keys", key=b"sk-gold")
        await now.until(lambda: now.knows("sk-gold"))
        await now.secrets.remove("gold-keys")
        await now.until(lambda: not now.knows("sk-gold"))


async def test_where_it_is_forbidden_the_mount_counts_until_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "tenants" / "gold").mkdir(parents=True)
    (tmp_path / "tenants" / "gold" / "key").write_text("sk-mounted")
    async with watching(tmp_path, config(gold="gold-keys")) as now:
        now.secrets.allowed = False
        await now.until(lambda: now.knows("sk-mounted"))
        await now.secrets.put("gold-keys", key=b"sk-watched")
        now.secrets.allowed = True
        await now.until(lambda: now.knows("sk-watched"))
        assert not now.knows("sk-mounted")


async def test_each_secret_is_watched_once_and_only_while_a_tenant_refers_to_it(tmp_path: Path) -> None:
    async with watching(tmp_path, config(gold="shared", silver="shared")) as now:
        await now.secrets.put("shared", key=b"sk-shared")
        await now.until(lambda: now.knows("sk-shared"))
        assert now.secrets.watched == ["shared"]
        now.configure(config(gold="own"))
        await now.secrets.put("own", key=b"sk-own")
        await now.until(lambda: now.knows("sk-own"))
        assert not now.knows("sk-shared")


async def test_values_that_are_no_keys_are_refused_and_the_others_count(tmp_path: Path) -> None:
    async with watching(tmp_path, config(gold="gold-keys")) as now:
        await now.secrets.put("gold-keys", bad=b"\xff\xfe", long=b"x" * 100_000, good=b"sk-good")
        await now.until(lambda: now.knows("sk-good"))
        assert [key.name for key in now.ring] == ["good"]
