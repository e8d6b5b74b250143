"""The agent on a real cluster of three nodes: what its status says, live changes, exact counts, and no lost window."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.commands import CommandError, run
from e2e.demo import clusters
from e2e.demo.__main__ import NAMESPACE, SYSTEM_NAMESPACE, install
from e2e.demo.clusters import ClusterKind
from e2e.demo.screen import Screen
from tests.conftest import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]

PROBES: Final = ["TCPRoundTripTime", "TCPRetransmit", "ListenBacklog", "HTTPLatency", "TLSLatency", "SQLLatency"]
NODES: Final = 3
APPLIED_S: Final = 60.0
READY_S: Final = 240.0
OUTAGE_S: Final = 20.0
SEEN_PER_BOOT: Final = 1024
"""Sequences that the hint service remembers of each start of an agent."""
_SEEN: Final = """
local newest, seen = redis.call('BITFIELD', KEYS[1], 'GET', 'u63', 0)[1], {}
for sequence = math.max(1, newest - 1023), newest do
  if redis.call('GETBIT', KEYS[1], 64 + sequence % 1024) == 1 then seen[#seen + 1] = sequence end
end
return seen
"""
PORT: Final = 8000
SERVER: Final = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "counted"},
    "spec": {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "server",
                "image": "docker.io/tokenflow/e2e:dev",
                "imagePullPolicy": "IfNotPresent",
                "command": ["python3", "-m", "http.server", str(PORT), "--protocol=HTTP/1.1", "--directory=/srv/e2e"],
            }
        ],
    },
}
ASK: Final = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
for number in range(int(sys.argv[3])):
    connection.request("GET", f"/link/__init__.py?secret={number}")
    answer = connection.getresponse()
    assert (answer.status, len(answer.read()) > 0) == (200, True)
"""
KILL: Final = """
import os, pathlib, signal
def read(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
for pid in filter(str.isdigit, os.listdir("/proc")):
    if read(pid, "comm") == "tokenflow-agent\\n" and read(pid, "cgroup") == read("self", "cgroup"):
        os.kill(int(pid), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Agents:
    """The agents of the TelemetryAgent nodes."""

    cluster: Cluster

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *arguments, stdin=stdin)

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def pods(self) -> dict[str, tuple[str, int]]:
        """Return the UID and the restarts of each agent's pod."""
        items = self.get("pods", "-l", "app.kubernetes.io/component=agent")["items"]
        return {
            item["metadata"]["name"]: (
                item["metadata"]["uid"],
                sum(one["restartCount"] for one in item["status"]["containerStatuses"]),
            )
            for item in items
        }

    def page(self, pod: str, path: str) -> str:
        return self.cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9435/proxy{path}")

    def signals(self, pod: str) -> dict[str, Any]:
        return {one["name"]: one for one in json.loads(self.page(pod, "/readyz"))["signals"]}

    def sample(self, agent: str, name: str, **labels: str) -> float:
        """Return the sum of a metric's series that carry ``labels``."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.page(agent, "/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def requests(self, pod: str, direction: str, route: str) -> float:
        """Return the requests of a pod that the agents have counted; that of its own node alone should."""
        labels = {"namespace": NAMESPACE, "port": str(PORT), "method": "GET", "status": "2xx", "protocol": "HTTP1"}
        labels |= {"pod": pod, "direction": direction, "route": route}
        return sum(self.sample(agent, "http_requests_total", **labels) for agent in self.pods())

    def patch(self, spec: dict[str, Any]) -> None:
        """Change the TelemetryAgent, and wait until the operator has seen it."""
        answer = self.kubectl(
            "patch", "telemetryagent", "nodes", "--type=merge", "-o", "json", "-p", json.dumps({"spec": spec})
        )
        generation = json.loads(answer)["metadata"]["generation"]
        within(APPLIED_S, lambda: self.status()["observedGeneration"] == generation)

    def status(self) -> Any:
        return self.get("telemetryagent", "nodes")["status"]

    def backends(self) -> dict[str, int]:
        return {one["name"]: one["nodes"] for one in self.status()["backends"]}

    def exec(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "--", *command)

    def sequences(self) -> dict[str, dict[str, list[int]]]:
        """Return the sequences of windows that Redis knows, by node and start of its agent."""
        redis = self.get("pods", "-l", "app.kubernetes.io/component=redis")["items"][0]["metadata"]["name"]
        keys = self.exec(redis, "redis-cli", "--scan", "--pattern", "tf:*:seen:Agent:*").split()
        found: dict[str, dict[str, list[int]]] = defaultdict(dict)
        for key in keys:
            *_, node, boot = key.split(":")
            found[node][boot] = [int(one) for one in self.exec(redis, "redis-cli", "eval", _SEEN, "1", key).split()]
        return found


def within(timeout_s: float, holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + timeout_s
    words = ""
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (CommandError, KeyError, IndexError) as error:
            words = str(error)
        time.sleep(0.3)
    pytest.fail(f"it did not hold within {timeout_s} s; {words}")


@pytest.fixture(scope="module")
def agents(cluster: Cluster) -> Iterator[Agents]:
    """The examples, with every probe, on a cluster; they go with the tests of this module."""
    install(clusters.up(ClusterKind.BARE), Screen())
    agents = Agents(cluster)
    agents.patch({"ebpf": {"probes": PROBES}, "http": {"pathTemplates": ["/link/*"]}})
    agents.kubectl("apply", "-f", "-", stdin=json.dumps(SERVER))
    for what in ("telemetryagent/nodes", "pacingpolicy/demo", "pod/counted", "pod/reader"):
        run(
            ["kubectl", "-n", NAMESPACE, "wait", what, "--for=condition=Ready", f"--timeout={READY_S:.0f}s"],
            timeout_s=READY_S + 30,
        )
    yield agents
    run(["helm", "uninstall", "tokenflow", "--namespace", SYSTEM_NAMESPACE, "--wait"])
    run(["kubectl", "delete", "namespace", NAMESPACE, SYSTEM_NAMESPACE, "--timeout=2m"], timeout_s=150)


@pytest.fixture
def well(agents: Agents) -> Agents:
    """The agents, each reading every signal in the best way."""
    agents.patch({"ebpf": {"probes": PROBES, "backend": "Auto"}})

    def all_read() -> bool:
        read = {name.partition("/")[0] for name, nodes in agents.backends().items() if nodes == NODES}
        return set(PROBES) <= read and agents.status()["degraded"] == 0

    within(60.0, all_read)
    return agents


def test_describe_names_every_backend_in_use(well: Agents) -> None:
    words = well.kubectl("describe", "telemetryagent", "nodes")
    for probe in PROBES:
        assert f"{probe}/" in words
    assert set(well.backends().values()) == {NODES}


def test_a_backend_that_is_forced_is_named_and_what_it_cannot_read_degrades_its_nodes(well: Agents) -> None:
    well.patch({"ebpf": {"probes": PROBES, "backend": "Proc"}})
    within(60.0, lambda: "ListenBacklog/Proc" in well.backends() and well.status()["degraded"] == NODES)
    words = well.kubectl("describe", "telemetryagent", "nodes")
    assert "ListenBacklog/Proc" in words
    degraded = well.status()["degradedNodes"]
    assert [node["name"] for node in degraded] == ["node1", "node2", "node3"]
    for node in degraded:
        assert node["reason"]
        assert "HTTPLatency" in node["message"]
        assert node["reason"] in words


def test_a_live_change_restarts_no_pod_and_takes_effect(well: Agents) -> None:
    before = well.pods()
    pod = next(iter(before))
    well.patch({"ebpf": {"probes": ["TCPRoundTripTime"]}})
    within(APPLIED_S, lambda: "HTTPLatency" not in well.signals(pod))
    assert "TCPRoundTripTime" in well.signals(pod)
    well.patch({"gpu": {"mode": "Required"}})
    within(APPLIED_S, lambda: well.signals(pod)["GPU"]["state"] == "Degraded")
    well.patch({"gpu": {"mode": "Off"}})
    within(APPLIED_S, lambda: well.signals(pod)["GPU"]["reason"] == "Disabled")
    well.patch({"spool": {"maxSize": "32Mi"}, "observability": {"logLevel": "Debug"}})
    within(APPLIED_S, lambda: '"level": "debug"' in well.kubectl("logs", pod, "--since=5s"))
    well.patch({"gpu": {"mode": "Auto"}, "observability": {"logLevel": "Info"}, "interval": "5s"})
    within(APPLIED_S, lambda: windows_of(well, pod, seconds=11) <= 3)
    well.patch({"interval": "1s"})
    within(APPLIED_S, lambda: windows_of(well, pod, seconds=4) >= 3)
    assert well.pods() == before


def windows_of(agents: Agents, pod: str, *, seconds: float) -> float:
    """Return how many windows an agent builds in that time."""
    before = agents.sample(pod, "tokenflow_agent_windows_total")
    time.sleep(seconds)
    return agents.sample(pod, "tokenflow_agent_windows_total") - before


def test_requests_are_counted_exactly_and_by_their_template(well: Agents) -> None:
    address = well.get("pod", "counted")["status"]["podIP"]

    def ask(count: int) -> None:
        well.exec("reader", "python3", "-c", ASK, address, str(PORT), str(count))

    def counted(route: str) -> tuple[float, float]:
        return well.requests("counted", "Served", route), well.requests("reader", "Dialed", route)

    def logged() -> int:
        return well.kubectl("logs", "counted").count("GET /link/__init__.py")

    before, lines = counted("/link/*"), logged()
    ask(137)
    within(APPLIED_S, lambda: counted("/link/*") == (before[0] + 137, before[1] + 137))
    assert logged() == lines + 137
    assert not any("secret" in well.page(agent, "/metrics") for agent in well.pods())

    well.patch({"http": {"pathTemplates": ["/*/__init__.py"]}})
    within(APPLIED_S, lambda: ask(1) is None and min(counted("/*/__init__.py")) > 0)
    well.patch({"http": {"pathTemplates": ["/link/*"]}})


def test_no_window_is_lost_over_an_outage_and_the_death_of_an_agent(well: Agents) -> None:
    pods = sorted(well.pods())
    before = well.sequences()
    replicas = well.get("deployment", "demo-hintsvc")["spec"]["replicas"]
    system = ("-n", SYSTEM_NAMESPACE)
    # The operator would end the outage.
    well.cluster.kubectl(*system, "scale", "deployment", "--all", "--replicas=0")
    try:
        within(60.0, lambda: well.cluster.kubectl(*system, "get", "pods", "-o", "name") == "")
        well.kubectl("scale", "deployment", "demo-hintsvc", "--replicas=0")
        within(60.0, lambda: all(well.sample(pod, "tokenflow_agent_windows_waiting") > 0 for pod in pods))
        time.sleep(OUTAGE_S)
        killed = pods[0]
        built = {pod: well.sample(pod, "tokenflow_agent_windows_total") for pod in pods}
        restarts = well.pods()[killed][1]
        with suppress(CommandError):
            # What kills the container's first process ends with it.
            well.exec(killed, "python3", "-c", KILL)
        within(60.0, lambda: well.pods()[killed][1] == restarts + 1 and bool(well.signals(killed)))
        well.kubectl("scale", "deployment", "demo-hintsvc", f"--replicas={replicas}")
    finally:
        well.cluster.kubectl(*system, "scale", "deployment", "--all", "--replicas=1")
    within(120.0, lambda: all(well.sample(pod, "tokenflow_agent_windows_waiting") <= 1 for pod in pods))
    after = well.sequences()
    for pod in pods:
        node = well.get("pod", pod)["spec"]["nodeName"]
        # Spools of an earlier installation may have brought the ends of other starts.
        starts = {boot: seen for boot, seen in after[node].items() if seen != before[node].get(boot)}
        for seen in starts.values():
            assert seen[0] == 1 or len(seen) == SEEN_PER_BOOT
            assert seen == list(range(seen[0], seen[-1] + 1))
        assert max(starts[boot][-1] for boot in starts.keys() & before[node].keys()) >= built[pod]
        assert len(starts) == (2 if pod == killed else 1)
