"""A Redis that moves: guarded by real Sentinels, and a real Cluster."""

import asyncio
import itertools
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.crc import key_slot

from e2e.bench.hintsvc.redis import RedisServer
from e2e.bench.hintsvc.sentinels import Sentinels
from e2e.bench.proc import free_port
from e2e.bench.programs import LOOPBACK, Program, await_port, running
from tests.hintsvc.store.test_telemetry import delivery
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.store.connection import Connection, mapped
from tokenflow_hintsvc.store.telemetry import Ingested, Telemetry

pytestmark = pytest.mark.redis

MASTERS = 3
RECOVERY_S = 20.0
SEQUENCES = itertools.count(1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) != 0


class RedisCluster:
    """Three masters, each with a replica."""

    def __init__(self, directory: Path) -> None:
        # Its bus listens 10,000 above.
        # Each node listens on a second port too; neither may be one that the kernel gives to others meanwhile.
        pairs = ((port, port + 10_000) for port in range(20_000, 22_700))
        self.ports = [port for port, bus in pairs if _is_free(port) and _is_free(bus)][: 2 * MASTERS]
        self.nodes = {port: _node(directory / str(port), port) for port in self.ports}

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'{LOOPBACK}:{port}' for port in self.ports[:2])}"

    def start(self) -> None:
        for port, node in self.nodes.items():
            node.start()
            await_port(port, node)
        addresses = [f"{LOOPBACK}:{port}" for port in self.ports]
        self.ask(self.ports[0], "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes")
        deadline = time.monotonic() + RECOVERY_S
        while sum("master_link_status:up" in self.ask(port, "INFO", "replication") for port in self.ports) < MASTERS:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def master_of(self, key: str) -> int:
        """Return the port of the master that has the slot of ``key``."""
        for line in self.ask(self.ports[0], "CLUSTER", "NODES").splitlines():
            _, address, _, _, _, _, _, _, *ranges = line.split()
            for first, _, last in (slots.partition("-") for slots in ranges):
                if int(first) <= key_slot(key.encode()) <= int(last):
                    return int(address.partition("@")[0].rpartition(":")[2])
        raise AssertionError(key)

    def replica_of(self, master: int) -> int:
        """Return the port of the replica that follows a master."""
        lines = [line.split() for line in self.ask(master, "CLUSTER", "NODES").splitlines()]
        own = next(line[0] for line in lines if "myself" in line[2])
        follower = next(line[1] for line in lines if line[3] == own)
        return int(follower.partition("@")[0].rpartition(":")[2])

    def ask(self, port: int, *words: str) -> str:
        command = ["redis-cli", "-h", LOOPBACK, "-p", str(port), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def _node(directory: Path, port: int) -> Program:
    directory.mkdir()
    options = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "save": "", "dir": str(directory)}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Program(
        command=["redis-server", "--port", str(port), "--bind", LOOPBACK, *words], log=directory / "redis.log"
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path)
    with running(*cluster.nodes.values()):
        cluster.start()
        yield cluster


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    primary = RedisServer(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(running(primary.program))
        primary.start()
        guards = Sentinels(tmp_path, primary=primary)
        stack.enter_context(guards.running())
        yield guards


async def serves_again(connection: Connection) -> None:
    """Wait until a batch can be taken in."""
    telemetry = Telemetry(connection)
    async with asyncio.timeout(RECOVERY_S):
        while True:
            try:
                assert await telemetry.ingest([delivery(next(SEQUENCES))]) == [Ingested.LATEST]
            except StoreError:
                await asyncio.sleep(0.05)
            else:
                return


async def next_message(connection: Connection, channel: str) -> bytes:
    """Return what is published next, by this test."""
    async with connection.redis.pubsub() as subscription:
        await subscription.subscribe(channel)
        await subscription.get_message(timeout=1.0)
        await connection.redis.publish(channel, "hello")
        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=1.0)
        assert message is not None
        data: bytes = message["data"]
        return data


async def test_the_master_that_sentinels_choose_is_followed(sentinels: Sentinels) -> None:
    connection = Connection(sentinels.url, policy_uid="p")
    try:
        await serves_again(connection)
        sentinels.primary.program.kill()
        await serves_again(connection)
        assert await next_message(connection, "c") == b"hello"
    finally:
        await connection.close()


async def test_a_master_that_hangs_holds_nobody_up(sentinels: Sentinels) -> None:
    connection = Connection(sentinels.url, policy_uid="p")
    try:
        await serves_again(connection)
        sentinels.primary.program.pause()
        await serves_again(connection)
        sentinels.primary.program.resume()
        await serves_again(connection)
    finally:
        await connection.close()


async def test_the_master_of_the_policys_slot_is_followed(cluster: RedisCluster) -> None:
    connection = Connection(cluster.url, policy_uid="p")
    try:
        await serves_again(connection)
        key = connection.key("any")
        before = cluster.master_of(key)
        cluster.ask(cluster.replica_of(before), "CLUSTER", "FAILOVER")
        async with asyncio.timeout(RECOVERY_S):
            while (after := cluster.master_of(key)) == before:
                await serves_again(connection)
        async with mapped():
            assert [key async for key in connection.redis.scan_iter(match=connection.key("*"))]
        cluster.nodes[after].kill()
        await serves_again(connection)
        assert await next_message(connection, "c") == b"hello"
    finally:
        await connection.close()


async def test_nobody_who_knows_the_master_is_an_error_of_ours() -> None:
    for form in ("redis+sentinel://{}/m", "redis+cluster://{}"):
        connection = Connection(form.format(f"127.0.0.1:{free_port()}"), policy_uid="p")
        with pytest.raises(StoreError, match="nobody tells where the master is"):
            await Telemetry(connection).ingest([delivery(1)])
        await connection.close()
