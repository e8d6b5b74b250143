"""Replicas of the operator as processes of their own: who leads, that it passes on, and that two never write."""

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from e2e.cluster.audit import requests
from e2e.cluster.settings import Layout, cache
from tests.operator.election.relay import relayed
from tests.operator.running import ROOT, Operator, eventually, running

ADMINISTRATOR = "tokenflow-admin"
BEFORE_IT_RUNS_OUT_S = 7.0
"""A Lease that was just renewed lasts longer."""
LEASE_LOST = 3

pytestmark = pytest.mark.cluster

Start = Callable[..., Operator]


@pytest.fixture
def start(
    namespace: str,
    unused_tcp_port_factory: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(name: str, kubeconfig: str = os.environ.get("KUBECONFIG", "")) -> Operator:
            monkeypatch.setenv("POD_NAME", f"{namespace}-{name}")
            arguments = ("--pod-namespace", namespace, "--lease-name", "tokenflow")
            ports, log = (unused_tcp_port_factory(), unused_tcp_port_factory()), tmp_path / f"{name}.log"
            return stack.enter_context(running(namespace, *arguments, kubeconfig=kubeconfig, log=log, ports=ports))

        yield started


@pytest.fixture
def pair(start: Start) -> tuple[Operator, Operator]:
    """Return a leader, and a replica that waits."""
    leader = start("leader")
    make_free_lease(leader)
    eventually(lambda: ready(leader).get("leading"))
    waiting = start("waiting")
    eventually(lambda: ready(waiting).get("ok"))
    leader.kubectl("apply", "-f", str(ROOT / "examples" / "telemetryagent.yaml"))
    eventually(lambda: leader.condition("ta/nodes", "Ready"))
    return leader, waiting


def make_free_lease(operator: Operator) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "tokenflow"}}
    operator.kubectl("create", "-f", "-", stdin=json.dumps(lease), check=False)


def ready(operator: Operator) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/readyz", timeout=20) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
    except (URLError, TimeoutError):
        return {}


def edit(operator: Operator, pool: str) -> Callable[[], bool]:
    """Ask for other nodes, and return whether the workload asks for them too."""
    operator.kubectl("patch", "ta/nodes", "--type=merge", "-p", json.dumps({"spec": {"nodeSelector": {"pool": pool}}}))

    def applied() -> bool:
        pod = operator.get("daemonset/nodes-agent")["spec"]["template"]["spec"]
        return bool(pod["nodeSelector"].get("pool") == pool)

    return applied


def writers(namespace: str, *, since: datetime) -> list[tuple[datetime, str]]:
    """Return when which replica wrote, by the API server's own account, renewals of the Lease left out."""
    log = Layout(cache=cache()).audit_log
    return [
        (request.at, request.user_agent.partition("(")[2].rstrip(")"))
        for request in requests(log, user=ADMINISTRATOR, since=since)
        if request.writes and request.resource != "leases" and f"({namespace}-" in request.user_agent
    ]


def test_one_leads_and_the_others_are_ready_and_write_nothing(pair: tuple[Operator, Operator]) -> None:
    leader, waiting = pair
    assert ready(waiting)["ok"] is True
    assert ready(waiting)["leading"] is False
    assert ready(waiting)["leader"] == ready(leader)["leader"]
    assert ready(leader)["leader"].startswith(f"{leader.namespace}-leader_")
    assert (leader.metric("tokenflow_operator_leader"), waiting.metric("tokenflow_operator_leader")) == (1, 0)
    assert leader.writes() > 0
    assert waiting.writes() == 0
    leader.process.terminate()
    eventually(lambda: ready(waiting).get("leading"), within_s=BEFORE_IT_RUNS_OUT_S)
    assert leader.process.wait(timeout=40) == 0
    eventually(edit(waiting, "gpu"))


def test_a_killed_leader_is_followed(pair: tuple[Operator, Operator]) -> None:
    leader, waiting = pair
    leader.process.kill()
    applied = edit(waiting, "gpu")
    eventually(lambda: ready(waiting).get("leading"))
    eventually(applied)


def test_a_leader_that_was_frozen_writes_nothing_more(pair: tuple[Operator, Operator]) -> None:
    leader, waiting = pair
    began = datetime.now(UTC)
    leader.process.send_signal(signal.SIGSTOP)
    stopped = datetime.now(UTC)
    try:
        applied = edit(waiting, "gpu")
        eventually(lambda: ready(waiting).get("leading"))
        eventually(applied)
        applied = edit(waiting, "other")
    finally:
        leader.process.send_signal(signal.SIGCONT)
    assert leader.process.wait(timeout=40) == LEASE_LOST
    eventually(applied)
    assert "the lease is lost" in leader.log.read_text()
    wrote = writers(leader.namespace, since=began)
    assert [name for at, name in wrote if at > stopped and name.endswith("-leader")] == []
    assert [name for _, name in wrote if name.endswith("-waiting")]


def test_a_leader_that_is_cut_off_ends_before_another_writes(start: Start, tmp_path: Path, namespace: str) -> None:
    through = tmp_path / "kubeconfig"
    with relayed(Path(os.environ["KUBECONFIG"]), through=through) as relay:
        leader = start("leader", str(through))
        make_free_lease(leader)
        eventually(lambda: ready(leader).get("leading"))
        waiting = start("waiting")
        leader.kubectl("apply", "-f", str(ROOT / "examples" / "telemetryagent.yaml"))
        eventually(lambda: leader.condition("ta/nodes", "Ready") and ready(waiting).get("ok"))
        relay.cut.set()
        began = datetime.now(UTC)
        applied = edit(waiting, "gpu")
        assert leader.process.wait(timeout=40) == LEASE_LOST
        ended = datetime.now(UTC)
        assert not ready(waiting)["leading"]
        eventually(lambda: ready(waiting).get("leading"))
        eventually(applied)
    wrote = writers(namespace, since=began - timedelta(seconds=1))
    assert min(at for at, name in wrote if name.endswith("-waiting")) > ended
