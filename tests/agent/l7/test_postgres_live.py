"""A real PostgreSQL server, asked over loopback."""

import asyncio
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.bench.proc import free_port
from tests.agent.l7.support import Watch, rows
from tokenflow_agent.sources import Findings

_START_S = 30


def binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server: run 'apt-get install postgresql'")
    return found[-1].parent


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    tools = binaries()
    user = pwd.getpwnam("postgres")
    # Not below pytest's own folder, which is its user's alone.
    folder = Path(tempfile.mkdtemp(prefix="tokenflow-postgres-"))
    shutil.chown(folder, user.pw_uid, user.pw_gid)
    number = free_port()

    def tool(*command: str) -> None:
        subprocess.run(command, user="postgres", cwd=folder, check=True, capture_output=True, timeout=_START_S)

    data = str(folder / "data")
    options = f"-p {number} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c ssl=off"
    try:
        tool(str(tools / "initdb"), "-D", data, "-A", "trust", "--no-sync")
        tool(str(tools / "pg_ctl"), "-D", data, "-l", f"{folder}/log", "-w", "-o", options, "start")
        try:
            yield number
        finally:
            tool(str(tools / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def ask(port: int, *statements: str) -> None:
    """Carry each out with psql, on one connection, as simple queries."""
    commands = [word for statement in statements for word in ("-c", statement)]
    connection = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-v", "ON_ERROR_STOP=0"]
    subprocess.run(["psql", "-qAt", *connection, *commands], capture_output=True, timeout=_START_S, check=False)


def counted(found: list[Findings], port: int, direction: str) -> dict[str, tuple[int, int]]:
    """Return statements and errors by verb."""
    totals: dict[str, tuple[int, int]] = {}
    for row in (row for each in found for row in rows(each.sql, port) if row["direction"] == direction):
        assert row["system"] == "postgresql"
        statements, errors = totals.get(str(row["verb"]), (0, 0))
        totals[str(row["verb"])] = (statements + int(str(row["statements"])), errors + int(str(row["errors"])))
    return totals


@pytest.mark.bpf
@pytest.mark.parametrize("direction", ["Served", "Dialed"])
async def test_simple_queries_are_counted_by_verb_and_timed(watch: Watch, port: int, direction: str) -> None:
    await watch.collect()
    statements = [
        "CREATE TEMP TABLE cards (number text)",
        "INSERT INTO cards VALUES ('4111-1111')",
        "/* a comment */ select number from cards where number = '4111-1111'",
        "SELECT pg_sleep(0.2)",
        "SELECT repeat('x', 100000)",
        "SELECT nonsense FROM nowhere",
    ]
    began = time.monotonic()
    await asyncio.to_thread(ask, port, *statements)
    took_us = (time.monotonic() - began) * 1e6
    found = await watch.until(port, statements=6, direction=direction)
    assert counted(found, port, direction) == {"CREATE": (1, 0), "INSERT": (1, 0), "SELECT": (4, 1)}
    slowest = max(
        int(str(row["latency_p99_us"]))
        for each in found
        for row in rows(each.sql, port)
        if row["direction"] == direction and row["verb"] == "SELECT"
    )
    assert 170_000 < slowest < 1.15 * took_us
    for private in ("4111-1111", "cards", "nowhere", "xxx"):
        assert private not in repr(found)


@pytest.mark.bpf
@pytest.mark.parametrize("mode", ["extended", "prepared"])
async def test_extended_queries_are_counted_by_verb(watch: Watch, port: int, mode: str, tmp_path: Path) -> None:
    await watch.collect()
    script = tmp_path / "script.sql"
    script.write_text("SELECT :client_id + 1;\nSHOW server_version;\n")
    connection = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
    command = [str(binaries() / "pgbench"), "-n", "-M", mode, "-t", "20", "-f", str(script), *connection, "postgres"]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=_START_S)
    found = await watch.until(port, statements=40)
    totals = counted(found, port, "Served")
    assert totals["SHOW"] == (20, 0)
    # pgbench asks the server a few things of its own.
    assert totals["SELECT"][0] in (20, 21, 22)
