"""Alerts on a real API server: in the status, as Events, to a receiver, and as rules in the form that is served."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.running import ROOT, Operator, eventually, fresh_namespace, monitoring, running

DISCOVERED_S = 60.0
"""Kinds that come and go are noticed within half a minute."""

pytestmark = pytest.mark.cluster


@dataclass
class Receiver:
    """A Slack on loopback."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def watched(
    request: pytest.FixtureRequest,
    receiver: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
    unused_tcp_port_factory: Callable[[], int],
) -> Iterator[Operator]:
    """Lend an operator whose policy has no images, so that nothing of it ever runs, and tells Slack of it."""
    request.getfixturevalue("crds")
    policy = yaml.safe_load((ROOT / "examples" / "pacingpolicy.yaml").read_text())
    notifier = {"name": "ops", "type": "Slack", "secretRef": {"name": "ops-slack"}}
    absent = {"name": "absent", "type": "Webhook", "secretRef": {"name": "no-such-secret"}}
    policy["spec"]["alerts"] = {"for": "1s", "notifiers": [notifier, absent]}
    ports = unused_tcp_port_factory(), unused_tcp_port_factory()
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with (
        fresh_namespace() as namespace,
        running(
            namespace, "--no-leader-election", kubeconfig=os.environ["KUBECONFIG"], log=log, ports=ports
        ) as started,
    ):
        started.kubectl("create", "secret", "generic", "ops-slack", f"--from-literal=url={receiver.url}")
        started.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
        yield started


def test_what_fires_is_told_without_prometheus(watched: Operator, receiver: Receiver) -> None:
    def firing() -> set[str]:
        return {alert["name"] for alert in watched.get("pp/demo").get("status", {}).get("alerts", [])}

    eventually(lambda: firing() >= {"HintServiceDown", "GatewayDown"})
    described = watched.kubectl("describe", "pp/demo")
    assert "no replica of the hint service answers: no replica is ready" in described
    assert eventually(lambda: watched.kubectl("get", "events.events.k8s.io", "--field-selector=reason=HintServiceDown"))
    eventually(lambda: "HintServiceDown" in json.dumps(receiver.messages))
    told = eventually(lambda: watched.get("pp/demo")["status"].get("notifiers", [{}])[0].get("alerts"))
    assert "HintServiceDown" in told


def test_a_notifier_that_cannot_be_used_is_told_with_its_cause(watched: Operator) -> None:
    def message() -> str:
        return watched.condition("pp/demo", "Degraded").get("message", "")

    eventually(lambda: "notifier absent: there is no Secret no-such-secret" in message())


def test_rules_are_in_the_form_that_the_cluster_serves(watched: Operator) -> None:
    (rules,) = eventually(lambda: watched.get("configmap/demo-alerts").get("data", {})).values()
    assert "HintServiceDown" in rules
    assert watched.get("configmap/demo-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"
    with monitoring():
        eventually(lambda: watched.get("prometheusrule/demo-alerts"), within_s=DISCOVERED_S)
        eventually(lambda: not watched.get("configmap/demo-alerts"))
        eventually(lambda: watched.get("servicemonitor/demo-metrics"))
        groups = watched.get("prometheusrule/demo-alerts")["spec"]["groups"]
        assert groups == yaml.safe_load(rules)["groups"]
    eventually(lambda: watched.get("configmap/demo-alerts"), within_s=DISCOVERED_S)


def test_who_comes_after_a_kill_tells_nobody_again(
    watched: Operator, receiver: Receiver, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    eventually(lambda: len(watched.get("pp/demo")["status"]["notifiers"][0].get("alerts", [])) == 2)
    told = len(receiver.messages)
    watched.process.kill()
    watched.process.wait(timeout=40)
    ports = unused_tcp_port_factory(), unused_tcp_port_factory()
    flags = {"kubeconfig": os.environ["KUBECONFIG"], "log": tmp_path / "operator.log", "ports": ports}
    with running(watched.namespace, "--no-leader-election", **flags) as successor:
        # It has looked at all notifiers once it knows that one of them cannot be used.
        eventually(lambda: successor.metric("tokenflow_operator_notifications_total") >= 1)
        assert len(receiver.messages) == told
