"""The whole system on a real cluster: the demo's story, then edits and deaths under load."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import audit
from e2e.cluster.settings import Layout, cache
from e2e.commands import CommandError, run
from e2e.demo.__main__ import NAMESPACE, SYSTEM_NAMESPACE
from e2e.reader import steady
from tests.conftest import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500, func_only=True)]

SERVICE = f"/api/v1/namespaces/{NAMESPACE}/services/demo-hintsvc:8080/proxy"
HINTS = f"{SERVICE}/v1/hints/gold"
RECOVERY_S = 30.0


@dataclass
class System:
    """The demo's installation, and when it began."""

    cluster: Cluster
    since: datetime

    def get(self, what: str, *arguments: str) -> Any:
        return json.loads(self.cluster.kubectl("-n", NAMESPACE, "get", what, "-o", "json", *arguments))

    def pods(self, component: str) -> dict[str, str]:
        items = self.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
        return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}

    def policy(self) -> Any:
        return self.get("pacingpolicy/demo")

    def patch(self, spec: dict[str, object]) -> int:
        """Change the policy and return its new generation."""
        answer = self.cluster.kubectl(
            *("-n", NAMESPACE, "patch", "pacingpolicy", "demo", "--type", "merge", "-o", "json"),
            *("-p", json.dumps({"spec": spec})),
        )
        generation: int = json.loads(answer)["metadata"]["generation"]
        return generation

    def hint(self) -> Any:
        return json.loads(self.cluster.kubectl("get", "--raw", HINTS))

    def ask(self, path: str) -> Any:
        """Return what the hint service answers, by whichever replica."""
        return json.loads(self.cluster.kubectl("get", "--raw", f"{SERVICE}/{path}"))

    def admits(self, replica: str, *, tenant: str) -> bool:
        """Ask one replica to admit a request."""
        asked = {"tenant": tenant, "prompt_tokens": 10, "max_tokens": 10}
        url = f"/api/v1/namespaces/{NAMESPACE}/pods/{replica}:8080/proxy/v1/admit"
        try:
            self.cluster.kubectl("create", "--raw", url, "-f", "-", stdin=json.dumps(asked))
        except CommandError as error:
            if "429" not in str(error) and "too many requests" not in str(error).lower():
                raise
            return False
        return True

    def served_generations(self) -> list[int]:
        """Return the generation that each replica answers with."""
        answers = [
            self.cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:8080/proxy/v1/hints/gold")
            for name in self.pods("hintsvc")
        ]
        return [json.loads(answer)["generation"] for answer in answers]

    def evict(self, pod: str) -> None:
        """Ask for a pod to go, as a drain of its node does."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
        url = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
        self.cluster.kubectl("create", "--raw", url, "-f", "-", stdin=json.dumps(eviction))

    def kill(self, pod: str, *, namespace: str = NAMESPACE) -> None:
        self.cluster.kubectl("-n", namespace, "delete", "pod", pod, "--grace-period=0", "--force")


def within(timeout_s: float, holds: Callable[[], bool]) -> float:
    """Wait until it holds, and return the seconds that it took."""
    started = time.monotonic()
    words = ""
    while time.monotonic() - started < timeout_s:
        try:
            if holds():
                return time.monotonic() - started
        except (CommandError, KeyError) as error:
            words = str(error)
        time.sleep(0.1)
    pytest.fail(f"it did not hold within {timeout_s} s; {words}")


@pytest.fixture(scope="module")
def demo(cluster: Cluster) -> Iterator[tuple[System, subprocess.CompletedProcess[str]]]:
    """The demo, run once; what it installed goes with the tests of this module."""
    command = [sys.executable, "-m", "e2e.demo", "--cluster", "bare"]
    since = datetime.now(UTC)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1400)
    yield System(cluster, since), done
    run(["helm", "uninstall", "tokenflow", "--namespace", SYSTEM_NAMESPACE, "--wait"])
    cluster.kubectl("delete", "namespace", NAMESPACE, SYSTEM_NAMESPACE, "--wait=false")


@pytest.fixture
def system(demo: tuple[System, subprocess.CompletedProcess[str]]) -> System:
    installed, _ = demo
    within(RECOVERY_S, lambda: ready(installed))
    return installed


def ready(system: System) -> bool:
    policy = system.policy()
    conditions = {entry["type"]: entry["status"] for entry in policy["status"]["conditions"]}
    current = policy["status"]["observedGeneration"] == policy["metadata"]["generation"]
    return conditions["Ready"] == "True" and current and len(policy["status"]["replicas"]) == 3


def test_live_ebpf_paces_a_real_stream(demo: tuple[System, subprocess.CompletedProcess[str]]) -> None:
    _, done = demo
    assert done.returncode == 0, done.stdout[-6000:]
    assert "FAILED" not in done.stdout


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"retransmitPercent": 3}},
        {"tenants": [{"name": "gold", "tokensPerMinute": 2400}, {"name": "free", "tokensPerMinute": 1200}]},
    ],
)
def test_an_edit_reaches_every_replica_without_a_restart(system: System, change: dict[str, object]) -> None:
    before = {**system.pods("hintsvc"), **system.pods("gateway")}
    generation = system.patch(change)
    took = within(10.0, lambda: set(system.served_generations()) == {generation})
    assert took < 2.0
    within(5.0, lambda: [one["generation"] for one in system.policy()["status"]["replicas"]] == [generation] * 3)
    assert {**system.pods("hintsvc"), **system.pods("gateway")} == before


def test_a_tenants_quota_bounds_its_hint(system: System) -> None:
    system.patch({"tenants": [{"name": "gold", "tokensPerMinute": 600}, {"name": "free"}]})
    within(5.0, lambda: system.hint()["hint"]["tokens_per_second"] == 10.0)
    system.patch({"tenants": [{"name": "gold", "tokensPerMinute": 200000}, {"name": "free"}]})
    within(5.0, lambda: system.hint()["hint"]["tokens_per_second"] == 80.0)


def test_all_replicas_share_a_tenants_quota(system: System) -> None:
    generation = system.patch({"tenants": [{"name": "gold"}, {"name": "free", "requestsPerMinute": 6}]})
    within(5.0, lambda: set(system.served_generations()) == {generation})
    replicas = list(system.pods("hintsvc"))
    # One more comes back every ten seconds.
    assert 6 <= sum(system.admits(replicas[turn % 3], tenant="free") for turn in range(10)) <= 7
    assert all(system.admits(replica, tenant="gold") for replica in replicas)


def test_what_lies_behind_a_hint_is_told(system: System) -> None:
    assert system.ask("v1/health")["health"] > 0.5
    assert not system.ask("v1/health")["stale"]
    explained = system.ask("v1/explain/gold")["explanations"]
    assert {entry["hint"]["tenant"] for entry in explained} == {"gold"}
    fast = system.cluster.kubectl("get", "--raw", HINTS.replace(":8080", ":8081"))
    assert json.loads(fast)["hint"]["tokens_per_second"] > 0


def test_the_leader_may_die(system: System) -> None:
    leader = next(one["name"] for one in system.policy()["status"]["replicas"] if one["leader"])
    system.kill(leader)
    within(5.0, lambda: system.hint()["hint"]["tokens_per_second"] > 0)
    within(RECOVERY_S, lambda: leader not in system.pods("hintsvc") and ready(system))
    within(RECOVERY_S, lambda: system.hint()["hint"]["source"] == "Live")


def test_redis_may_die(system: System) -> None:
    (pod,) = system.pods("redis")
    system.kill(pod)
    for _ in range(10):
        assert system.hint()["hint"]["tokens_per_second"] > 0
    within(RECOVERY_S, lambda: ready(system) and system.hint()["hint"]["source"] == "Live")


@contextmanager
def reading(system: System) -> Iterator[dict[str, Any]]:
    """Read hints and streams meanwhile; what was read is there afterwards."""
    in_reader = ("kubectl", "-n", NAMESPACE, "exec", "-i", "reader", "--")
    arguments = ("--hints", "http://demo-hintsvc:8080", "--gateway", "http://demo-gateway:8000", "--tenant", "gold")
    found: dict[str, Any] = {}
    with (
        Path(steady.__file__).open() as program,
        subprocess.Popen([*in_reader, "python3", "-", *arguments], stdin=program, stdout=subprocess.PIPE) as reader,
    ):
        try:
            yield found
        finally:
            system.cluster.kubectl("-n", NAMESPACE, "exec", "reader", "--", "touch", str(steady.STOP))
        answer, _ = reader.communicate(timeout=90)
    found.update(json.loads(answer))


def rolled_out(system: System, *, instead_of: dict[str, str]) -> bool:
    pods = {**system.pods("hintsvc"), **system.pods("gateway")}
    return ready(system) and len(pods) == 5 and not pods.keys() & instead_of.keys()


def test_a_rolling_update_fails_no_hint_read_and_breaks_no_stream(system: System) -> None:
    before = {**system.pods("hintsvc"), **system.pods("gateway")}
    asked = {"resources": {"requests": {"cpu": "110m"}}}
    with reading(system) as read:
        within(RECOVERY_S, lambda: system.hint()["hint"]["source"] == "Live")
        system.patch({"hintService": asked, "gateway": asked})
        within(120.0, lambda: rolled_out(system, instead_of=before))
    assert read["failures"] == []
    assert all(read["done"][what] > 0 for what in ("hint by a new connection", "hint by a kept connection", "stream"))


def test_drains_take_one_replica_at_a_time_and_no_read_fails(system: System) -> None:
    with reading(system) as read:
        for component in ("hintsvc", "gateway"):
            first, second, *_ = system.pods(component)
            system.evict(first)
            with pytest.raises(CommandError, match="disruption budget"):
                system.evict(second)
        within(RECOVERY_S, lambda: ready(system) and len(system.pods("hintsvc")) == 3)
    assert read["failures"] == []


def test_an_agent_may_die(system: System) -> None:
    pod = next(iter(system.pods("agent")))
    system.kill(pod)
    assert system.hint()["hint"]["tokens_per_second"] > 0

    def measured() -> bool:
        status = system.get("telemetryagent/nodes")["status"]
        return pod not in system.pods("agent") and status["ready"] == 3 and status["degraded"] == 0

    within(RECOVERY_S, measured)


def test_the_operator_may_die(system: System) -> None:
    pods = json.loads(system.cluster.kubectl("-n", SYSTEM_NAMESPACE, "get", "pods", "-o", "json"))["items"]
    for pod in pods:
        system.kill(pod["metadata"]["name"], namespace=SYSTEM_NAMESPACE)
    generation = system.patch({"thresholds": {"healthPercent": 31}})
    assert system.hint()["hint"]["tokens_per_second"] > 0
    within(RECOVERY_S, lambda: set(system.served_generations()) == {generation} and ready(system))


def test_describe_says_what_is_going_on(system: System) -> None:
    words = system.cluster.kubectl("-n", NAMESPACE, "describe", "pacingpolicy", "demo")
    for expected in ("Health Percent", "Tokens Per Second", "Generation", "Serving"):
        assert expected in words
    words = system.cluster.kubectl("-n", NAMESPACE, "describe", "telemetryagent", "nodes")
    assert "TCPRoundTripTime/BTFTracepoint" in words


def test_the_operator_was_refused_nothing(demo: tuple[System, subprocess.CompletedProcess[str]]) -> None:
    system, _ = demo
    account = f"system:serviceaccount:{SYSTEM_NAMESPACE}:tokenflow-operator"
    # What was installed before, by others, was refused its lease while it was taken down, and rightly.
    asked = list(audit.requests(Layout(cache=cache()).audit_log, user=account, since=system.since))
    # The API server learns of new Roles a moment after they were made.
    granted = min(request.at for request in asked) + timedelta(seconds=5)
    assert [request for request in asked if not request.allowed and request.at > granted] == []
