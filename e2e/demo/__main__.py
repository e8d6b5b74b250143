"""``make demo``: shows on a real cluster that live eBPF paces a real token stream.

Exit codes: 0 when the hint moved with the link and came back, 1 when something failed or it
did not, 2 for a wrong command line.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from e2e import images
from e2e.commands import CommandError
from e2e.demo import clusters
from e2e.demo.clusters import Cluster, ClusterKind
from e2e.demo.screen import Screen
from e2e.demo.story import Story, verdict

ROOT: Final = Path(__file__).resolve().parents[2]
NAMESPACE: Final = "tokenflow-demo"
SYSTEM_NAMESPACE: Final = "tokenflow-system"
_READY_TIMEOUT_S: Final = 240
_APPLIED_TIMEOUT_S: Final = 20.0
_READER_TIMEOUT_S: Final = 180.0
_HINT_PERIOD_S: Final = 0.25


def install(cluster: Cluster, screen: Screen) -> None:
    """Build what is ours, install the chart and apply the examples.

    Raises:
        CommandError: a step failed.
    """
    values: list[str] = []
    if cluster.ours:
        screen.step("building the images and loading them into the nodes")
        clusters.load(cluster, [str(archive) for archive in images.build()])
        values = ["--values", str(ROOT / "e2e" / "demo" / "values.yaml")]
    screen.step("helm install tokenflow")
    chart = str(ROOT / "charts" / "tokenflow")
    cluster.helm(
        *("upgrade", "--install", "tokenflow", chart, "--namespace", SYSTEM_NAMESPACE, "--create-namespace"),
        # CRDs that were applied by hand become the chart's.
        *(*values, "--take-ownership", "--wait", "--timeout", "3m"),
    )
    if cluster.ours:
        # The tag is always the same: what ran before may be an older build.
        cluster.kubectl("-n", SYSTEM_NAMESPACE, "rollout", "restart", "deployment")
        cluster.kubectl("-n", SYSTEM_NAMESPACE, "rollout", "status", "deployment", "--timeout=2m", timeout_s=150.0)
        cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=2m", timeout_s=150.0)
    screen.step("applying examples/telemetryagent.yaml and examples/pacingpolicy.yaml")
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    for manifest in ("examples/telemetryagent.yaml", "examples/pacingpolicy.yaml", "e2e/demo/manifests"):
        cluster.kubectl("-n", NAMESPACE, "apply", "-f", str(ROOT / manifest))


def wait_ready(cluster: Cluster, screen: Screen) -> None:
    """Wait until both resources and the demo's own pods are ready.

    Raises:
        CommandError: something did not become ready; the message has its conditions.
    """
    for what, condition in (
        ("deployment/llama", "Available"),
        ("pod/reader", "Ready"),
        ("telemetryagent/nodes", "Ready"),
        ("pacingpolicy/demo", "Ready"),
    ):
        screen.step(f"waiting for {what}")
        try:
            cluster.kubectl(
                *("-n", NAMESPACE, "wait", what, f"--for=condition={condition}", f"--timeout={_READY_TIMEOUT_S}s"),
                timeout_s=_READY_TIMEOUT_S + 30.0,
            )
        except CommandError as error:
            raise CommandError(f"{error}\n{cluster.kubectl('-n', NAMESPACE, 'describe', what)}") from error


def set_mode(cluster: Cluster, screen: Screen, mode: str) -> None:
    """Change the policy's mode and wait until every replica serves it.

    Raises:
        CommandError: a replica did not acknowledge in time.
    """
    started = time.monotonic()
    patch = json.dumps({"spec": {"mode": mode}})
    cluster.kubectl("-n", NAMESPACE, "patch", "pacingpolicy", "demo", "--type", "merge", "-p", patch)
    while time.monotonic() - started < _APPLIED_TIMEOUT_S:
        policy = json.loads(cluster.kubectl("-n", NAMESPACE, "get", "pacingpolicy", "demo", "-o", "json"))
        generation = policy["metadata"]["generation"]
        replicas = policy.get("status", {}).get("replicas", [])
        if replicas and all(replica["generation"] >= generation for replica in replicas):
            took = time.monotonic() - started
            screen.step(f"mode {mode}: all {len(replicas)} replicas acknowledged generation {generation}: {took:.1f} s")
            return
        time.sleep(0.2)
    raise CommandError(f"not every replica acknowledged mode {mode} in {_APPLIED_TIMEOUT_S:.0f} s: {replicas}")


def read(cluster: Cluster, screen: Screen, title: str) -> Story:
    """Run the reader once through the link that goes bad and comes back.

    Raises:
        CommandError: the reader failed.
    """
    command = [
        *("kubectl", "-n", NAMESPACE, "exec", "reader", "--", "python3", "-m", "e2e.reader"),
        *("--gateway", "http://demo-gateway:8000"),
    ]
    story = Story()
    deadline = time.monotonic() + _READER_TIMEOUT_S
    env = {**os.environ, **cluster.env}
    over = threading.Event()
    hints = threading.Thread(target=_watch_hints, args=(cluster, story, over))
    with (
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as reader,
        screen.watching(title, story) as watch,
    ):
        hints.start()
        for line in reader.stdout or ():
            story.add(line, now=time.monotonic())
            watch.refresh()
            if time.monotonic() > deadline:
                reader.kill()
    over.set()
    hints.join()
    if reader.returncode:
        raise CommandError(f"the reader failed ({reader.returncode}): its words stand above")
    return story


def _watch_hints(cluster: Cluster, story: Story, over: threading.Event) -> None:
    """Read the hint for the reader's path until ``over``, by another way than the reader's own link."""
    service = f"/api/v1/namespaces/{NAMESPACE}/services/demo-hintsvc:8080/proxy/v1/hints/gold"
    while not over.wait(_HINT_PERIOD_S):
        if not story.path:
            continue
        try:
            reply = cluster.kubectl("get", "--raw", f"{service}?path={story.path}", timeout_s=5.0)
        except CommandError as error:
            story.errors.append(str(error))
            continue
        story.add_hint(reply, now=time.monotonic())


def demo(kind: ClusterKind, screen: Screen) -> bool:
    """Run the whole demo and return whether it showed what it promises.

    Raises:
        CommandError: a step failed.
    """
    screen.step(f"bringing up the cluster ({kind})")
    cluster = clusters.up(kind)
    install(cluster, screen)
    wait_ready(cluster, screen)
    runs = {}
    for title, mode in (("pacing off", "Off"), ("pacing on", "Enforce")):
        set_mode(cluster, screen, mode)
        runs[title] = read(cluster, screen, title)
    for what in ("telemetryagent/nodes", "pacingpolicy/demo"):
        screen.step(f"kubectl describe {what}")
        screen.text(cluster.kubectl("-n", NAMESPACE, "describe", what))
    screen.figures(runs)
    claims = verdict(runs["pacing on"])
    screen.claims(claims)
    for error in runs["pacing on"].errors[:3]:
        screen.text(f"the reader met an error: {error}")
    return all(claim.holds for claim in claims)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="e2e.demo", description=__doc__)
    parser.add_argument(
        "--cluster", choices=[*ClusterKind], default=None, help="default: kind if it is at hand, else bare"
    )
    arguments = parser.parse_args()
    screen = Screen()
    kind = ClusterKind(arguments.cluster) if arguments.cluster else clusters.choose()
    try:
        shown = demo(kind, screen)
    except CommandError as error:
        screen.text(f"make demo: {error}")
        return 1
    return 0 if shown else 1


if __name__ == "__main__":
    sys.exit(main())
