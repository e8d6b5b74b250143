"""MySQL's protocol over loopback, spoken byte by byte by a server and a client of the test's own."""

import asyncio
import time
from collections import Counter

import pytest

from tests.agent.l7.support import Watch, rows

SLEEP_S = 0.1


def packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload


GREETING = packet(
    0, b"\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\x21\x02\0\xff\xdf\x15" + b"\0" * 10 + b"ijklmnopqrst\0native\0"
)
LOGIN = packet(1, b"\x85\xa6\xff\x01\0\0\0\x01\x21" + b"\0" * 23 + b"root\0\0")
OK = packet(1, b"\0\0\0\x02\0\0\0")
ERROR = packet(1, b"\xff\x7a\x04#42S02Table 'cards' doesn't exist")
PREPARED = packet(1, b"\0\x07\0\0\0\0\0\x01\0\0\0\0")
COLUMN = packet(2, b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0")


def result(*, old: bool) -> bytes:
    """Return a result of one column and one row, as servers before and since 5.7 end it."""
    end = b"\xfe\0\0\x02\0" if old else b"\xfe\0\0\x02\0\0\0"
    columns_end = packet(3, end) if old else b""
    return packet(1, b"\x01") + COLUMN + columns_end + packet(4, b"\x0411-1") + packet(5, end)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING)
    try:
        while True:
            head = await reader.readexactly(4)
            body = await reader.readexactly(int.from_bytes(head[:3], "little"))
            if head[3] == 1:
                writer.write(packet(2, b"\0\0\0\x02\0\0\0"))
            elif body[0] == 0x16:
                writer.write(PREPARED)
            elif b"cards" in body:
                writer.write(ERROR)
            elif b"SLEEP" in body:
                await asyncio.sleep(SLEEP_S)
                writer.write(result(old=True))
            else:
                writer.write(result(old=False) if b"select" in body else OK)
    except asyncio.IncompleteReadError:
        writer.close()


async def ask(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.read(4096)
    for command in (
        LOGIN,
        packet(0, b"\x03select '4111-1111'"),
        packet(0, b"\x03SELECT SLEEP(0.1)"),
        packet(0, b"\x03DELETE FROM cards"),
        packet(0, b"\x03INSERT INTO t VALUES ('4111-1111')"),
        packet(0, b"\x16UPDATE t SET a = ?"),
        packet(0, b"\x17\x07\0\0\0\0\x01\0\0\0"),
        packet(0, b"\x17\x07\0\0\0\0\x01\0\0\0"),
    ):
        writer.write(command)
        await reader.read(4096)
    writer.close()
    await writer.wait_closed()


@pytest.mark.bpf
@pytest.mark.parametrize("direction", ["Served", "Dialed"])
async def test_commands_of_mysql_are_counted_by_verb_and_timed(watch: Watch, direction: str) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        began = time.monotonic()
        await ask(port)
        took_us = (time.monotonic() - began) * 1e6
        found = await watch.until(port, statements=6, direction=direction)
    statements: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    slowest = 0
    for row in (row for each in found for row in rows(each.sql, port) if row["direction"] == direction):
        assert row["system"] == "mysql"
        statements[str(row["verb"])] += int(str(row["statements"]))
        errors[str(row["verb"])] += int(str(row["errors"]))
        slowest = max(slowest, int(str(row["latency_p99_us"])))
    assert statements == {"SELECT": 2, "DELETE": 1, "INSERT": 1, "UPDATE": 2}
    assert +errors == {"DELETE": 1}
    assert 0.8 * SLEEP_S * 1e6 < slowest < 1.2 * took_us
    assert "4111-1111" not in repr(found)
