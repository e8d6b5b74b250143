"""The record of what was administered and denied."""

import logging
from collections.abc import Sequence

import pytest

from tokenflow_api.audit import AuditEntry, Outcome
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.guard.audit import Audit
from tokenflow_hintsvc.problems import ProblemError

FORBIDDEN = ProblemError(403, code="NotAllowed", detail="sk-secret", remedy="no")


class Kept:
    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.broken = False

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        if self.broken:
            raise StoreError("Redis: gone")
        self.entries += entries


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def audit(kept: Kept) -> Audit:
    return Audit(kept, replica="replica-0", now_unix_ms=lambda: 1000)


def deny(audit: Audit, *, address: str = "10.0.0.1", problem: ProblemError = FORBIDDEN) -> None:
    audit.refused(problem, action="GET /v1/cluster", subject="tenant:gold", address=address)


async def test_a_denial_is_kept_without_what_was_sent(audit: Audit, kept: Kept) -> None:
    deny(audit)
    await audit.flush()
    assert kept.entries == [
        AuditEntry(
            at_unix_ms=1000,
            replica="replica-0",
            outcome=Outcome.DENIED,
            action="GET /v1/cluster",
            subject="tenant:gold",
            address="10.0.0.1",
            reason="NotAllowed",
        )
    ]
    await audit.flush()
    assert len(kept.entries) == 1


async def test_a_flood_from_one_address_is_one_entry(audit: Audit, kept: Kept) -> None:
    for _ in range(10_000):
        deny(audit)
    await audit.flush()
    assert [entry.count for entry in kept.entries] == [10_000]


async def test_a_flood_from_many_addresses_is_bounded_and_counted(audit: Audit, kept: Kept) -> None:
    for number in range(10_000):
        deny(audit, address=f"10.0.{number // 256}.{number % 256}")
    audit.done("KeysChanged")
    await audit.flush()
    assert len(kept.entries) == 64 + 2
    assert sum(entry.count for entry in kept.entries if entry.outcome is Outcome.DENIED) == 10_000
    assert kept.entries[-1].action == "KeysChanged"


@pytest.mark.parametrize("status", [400, 404, 413, 500, 503])
async def test_what_denies_nobody_is_not_kept(audit: Audit, kept: Kept, status: int) -> None:
    deny(audit, problem=ProblemError(status, code="Other", detail="", remedy=""))
    await audit.flush()
    assert kept.entries == []


async def test_without_the_store_the_log_lines_remain(
    audit: Audit, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.broken = True
    audit.done("ConfigApplied", reason="generation 7")
    with caplog.at_level(logging.INFO):
        await audit.flush()
    lines = [record for record in caplog.records if record.name == "tokenflow.audit"]
    assert [record.__dict__["audit"]["reason"] for record in lines] == ["generation 7"]
    assert "not shared" in caplog.text
    assert "sk-" not in caplog.text
