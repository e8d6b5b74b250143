import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import audit
from e2e.cluster.settings import Layout, cache

ALICE = "system:serviceaccount:demo:alice"
START = datetime(2026, 1, 1, tzinfo=UTC)


def event(verb: str, *, user: str = ALICE, stage: str = "ResponseComplete", code: int = 200, minute: int = 1) -> str:
    noted: dict[str, Any] = {
        "stage": stage,
        "requestURI": "/api/v1/namespaces/demo/configmaps/one?fieldManager=m",
        "verb": verb,
        "user": {"username": user},
        "userAgent": "tests",
        "objectRef": {"resource": "configmaps", "namespace": "demo", "name": "one", "apiVersion": "v1"},
        "responseStatus": {"code": code},
        "annotations": {"authorization.k8s.io/decision": "forbid" if code == 403 else "allow"},
        "requestReceivedTimestamp": f"2026-01-01T00:{minute:02}:00.000001Z",
    }
    return json.dumps(noted) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def verbs(log: Path) -> list[str]:
    return [request.verb for request in audit.requests(log, user=ALICE, since=START)]


def test_a_request_is_told_with_who_asked_for_what_and_how_it_ended(log: Path) -> None:
    log.write_text(event("patch", code=409))
    assert list(audit.requests(log, user=ALICE, since=START)) == [
        audit.Request(
            at=datetime(2026, 1, 1, 0, 1, 0, 1, tzinfo=UTC),
            user=ALICE,
            user_agent="tests",
            verb="patch",
            group="",
            resource="configmaps",
            namespace="demo",
            name="one",
            query="fieldManager=m",
            allowed=True,
            code=409,
        )
    ]


def test_others_and_what_was_before_are_left_out(log: Path) -> None:
    log.write_text(event("get", user=f"{ALICE}-2") + event("get", user="bob") + event("patch") + event("list"))
    assert verbs(log) == ["patch", "list"]
    later = datetime(2026, 1, 1, 0, 1, 1, tzinfo=UTC)
    assert not list(audit.requests(log, user=ALICE, since=later))


def test_a_watch_counts_once_whether_it_lasts_or_is_refused(log: Path) -> None:
    lasting = event("watch", stage="ResponseStarted") + event("watch")
    log.write_text(lasting + event("watch", code=403))
    asked = audit.requests(log, user=ALICE, since=START)
    assert [(request.code, request.allowed) for request in asked] == [(200, True), (403, False)]


def test_full_files_are_read_before_the_one_that_is_written(log: Path) -> None:
    (log.parent / "audit-2026-01-01T00-02-00.000.log").write_text(event("create"))
    (log.parent / "audit-2026-01-01T00-03-00.000.log").write_text(event("patch"))
    log.write_text(event("delete") + event("get")[:-20])
    assert verbs(log) == ["create", "patch", "delete"]


def test_a_file_that_was_full_before_is_not_even_read(log: Path) -> None:
    full = log.parent / "audit-2025-12-31T00-00-00.000.log"
    full.write_text(event("create"))
    os.utime(full, times=(0, START.timestamp() - 1))
    log.write_text(event("patch"))
    assert verbs(log) == ["patch"]


def test_a_dry_run_writes_nothing(log: Path) -> None:
    log.write_text(event("patch").replace("fieldManager=m", "dryRun=All") + event("patch") + event("get"))
    assert [request.writes for request in audit.requests(log, user=ALICE, since=START)] == [False, True, False]


@pytest.mark.cluster
def test_the_cluster_notes_what_its_administrator_does(cluster: Any) -> None:
    log = Layout(cache=cache()).audit_log
    if not log.exists():
        pytest.skip("the cluster that was given keeps no audit log here")
    since = datetime.now(UTC)
    cluster.kubectl("get", "configmap", "audited", "--ignore-not-found")
    asked = audit.requests(log, user="tokenflow-admin", since=since)
    assert ("get", "configmaps", "audited", 404) in {(r.verb, r.resource, r.name, r.code) for r in asked}
