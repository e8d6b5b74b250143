import struct

import pytest

from tokenflow_agent.l7 import mysql, postgres
from tokenflow_agent.l7.prepared import Prepared
from tokenflow_agent.l7.verbs import verb


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"SELECT 1", "SELECT"),
        (b"  (select 1)", "SELECT"),
        (b"-- why\n/* how */ update t set a = 'x'", "UPDATE"),
        (b"WITH x AS (SELECT 1) SELECT 2", "WITH"),
        (b"selection", "~other"),
        (b"/* never closed", "~other"),
        (b"", "~other"),
        (b"4111-1111", "~other"),
    ],
)
def test_a_statement_is_its_first_keyword(text: bytes, expected: str) -> None:
    assert verb(text) == expected


def pg(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


READY = pg(b"Z", b"I")


def test_a_simple_query_is_counted_and_its_error_seen() -> None:
    assert postgres.statements(pg(b"Q", b"DELETE FROM t\0"), READY, {}) == (["DELETE"], False)
    refusal = pg(b"E", b"SERROR\0\0") + READY
    assert postgres.statements(pg(b"Q", b"DELETE FROM t\0"), refusal, {}) == (["DELETE"], True)


def test_an_execution_has_the_verb_of_what_was_prepared_before() -> None:
    prepared = Prepared().on(1)
    parse = pg(b"P", b"s1\0INSERT INTO t VALUES ($1)\0\0\0") + pg(b"S", b"")
    assert postgres.statements(parse, pg(b"1", b"") + READY, prepared) == ([], False)
    run = pg(b"B", b"\0s1\0\0\0") + pg(b"E", b"\0\0\0\0\0") + pg(b"S", b"")
    assert postgres.statements(run + run, READY, prepared) == (["INSERT", "INSERT"], False)


def packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload


OK = packet(1, b"\x00\x00\x00\x02\x00\x00\x00")
ERROR = packet(1, b"\xff\x28\x04#42000You have an error")


def test_a_query_of_mysql_is_counted_and_its_error_seen() -> None:
    assert mysql.statements(packet(0, b"\x03INSERT INTO t VALUES (1)"), OK, {}) == (["INSERT"], False)
    assert mysql.statements(packet(0, b"\x03\x00\x01select 1"), OK, {}) == (["SELECT"], False)
    assert mysql.statements(packet(0, b"\x03nonsense"), ERROR, {}) == (["~other"], True)


def test_an_execution_of_mysql_has_the_verb_of_what_was_prepared() -> None:
    prepared = Prepared().on(1)
    answer = packet(1, b"\x00\x07\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00")
    assert mysql.statements(packet(0, b"\x16UPDATE t SET a = ?"), answer, prepared) == ([], False)
    assert mysql.statements(packet(0, b"\x17\x07\x00\x00\x00\x00"), OK, prepared) == (["UPDATE"], False)
    assert mysql.statements(packet(0, b"\x17\x08\x00\x00\x00\x00"), OK, prepared) == (["~other"], False)


def test_what_is_prepared_is_forgotten_where_there_is_too_much() -> None:
    prepared = Prepared()
    for connection in range(5000):
        named = prepared.on(connection)
        for number in range(3):
            named[b"%d" % number * 100] = "SELECT"
    assert len(prepared._connections) == 1024
    named = prepared.on(1)
    for number in range(1000):
        named[b"%d" % number] = "SELECT"
    assert len(named) == 256
