"""A rollout over all nodes, and one of an image that nobody can pull, both judged by the pods alone."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from e2e.bench.figures import Figure
from e2e.bench.operator.api import Api, Manifest, connected
from e2e.bench.operator.looking import Mirror, mirror
from e2e.bench.operator.population import AGENT
from e2e.bench.operator.site import site
from e2e.bench.operator.subject import at_work, operator
from e2e.cluster import kwok
from tokenflow_api.meta import API_VERSION
from tokenflow_api.telemetry_agent import RolloutStage
from tokenflow_operator.kube.kinds import PACING_POLICY, POD, TELEMETRY_AGENT

_NAMESPACE: Final = "rollout"
_POLICY: Final = "policy"
_CANARY_NODES: Final = 5
_CANARY_S: Final = 10
_UNAVAILABLE_PERCENT: Final = 10
_GOOD: Final = "tokenflow/agent:good"
_BETTER: Final = "tokenflow/agent:better"
_ROLLOUT: Final = {
    "maxUnavailablePercent": _UNAVAILABLE_PERCENT,
    "canary": {"nodes": _CANARY_NODES, "duration": f"{_CANARY_S}s"},
    "progressDeadline": "30s",
}
_WITHIN_S: Final = 540.0
_LOOK_S: Final = 0.05


@dataclass(kw_only=True, slots=True)
class Course:
    """How a rollout goes.

    Attributes:
        image: that is rolled out.
        began_at: monotonic time.
        missing: most nodes that were without a ready agent at a time.
        tried: nodes that have had a pod of the image.
        canary_s: seconds after the beginning until the canaries were ready.
        others_s: seconds after the beginning until another node was tried.
    """

    image: str
    began_at: float = field(default_factory=time.monotonic)
    missing: int = 0
    tried: set[str] = field(default_factory=set)
    canary_s: float | None = None
    others_s: float | None = None

    def look(self, pods: list[Manifest], *, nodes: int) -> None:
        """Take in how the pods of all agents are at this moment."""
        ready = [pod for pod in pods if _ready(pod)]
        fresh = [pod for pod in pods if _image(pod) == self.image]
        passed_s = time.monotonic() - self.began_at
        self.missing = max(self.missing, nodes - len({_node(pod) for pod in ready}))
        self.tried |= {node for pod in fresh if (node := _node(pod))}
        if self.canary_s is None and sum(map(_ready, fresh)) >= _CANARY_NODES:
            self.canary_s = passed_s
        if self.others_s is None and len(self.tried) > _CANARY_NODES:
            self.others_s = passed_s


async def rollouts(*, nodes: int) -> AsyncIterator[Figure]:
    """Roll an image out over so many nodes, then one that cannot be pulled."""
    with site() as place:
        await asyncio.to_thread(place.add_nodes, nodes)
        place.add_namespaces(_NAMESPACE)
        place.know([(_NAMESPACE, _POLICY)])
        subject = operator(place.directory, kubeconfig=place.plane.operator_kubeconfig, hosts=place.hosts)
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(connected(place.plane.layout.kubeconfig))
            await api.create_all(TELEMETRY_AGENT, [_resource(TELEMETRY_AGENT.kind, AGENT, _agent(_GOOD))])
            await api.create_all(PACING_POLICY, [_resource(PACING_POLICY.kind, _POLICY, _policy())])
            agents = await stack.enter_async_context(mirror(api, TELEMETRY_AGENT, keep=_whole))
            pods = await stack.enter_async_context(
                mirror(api, POD, keep=_whole, labels="app.kubernetes.io/component=agent")
            )
            stack.enter_context(at_work(subject))
            await _until(agents, RolloutStage.COMPLETE, generation=1)
            yield await _good(api, agents, pods, nodes=nodes)
            yield await _bad(api, agents, pods, nodes=nodes)


async def _good(api: Api, agents: Mirror[Manifest], pods: Mirror[Manifest], *, nodes: int) -> Figure:
    course = await _course(api, agents, pods, image=_BETTER, until=RolloutStage.COMPLETE, nodes=nodes)
    took_s = time.monotonic() - course.began_at
    allowed = nodes * _UNAVAILABLE_PERCENT // 100
    waited_s = (course.others_s or 0.0) - (course.canary_s or 0.0)
    images = _images(pods)
    return Figure(
        name=f"Rollout of an agent over {nodes:,} nodes",
        value=(
            f"{took_s:.0f} s; others {waited_s:.1f} s after the {_CANARY_NODES} canaries; at most {course.missing}"
            " nodes without a ready agent"
        ),
        goal=f"others >= {_CANARY_S} s after the canaries, never above {allowed} without one, all nodes in the end",
        met=waited_s >= _CANARY_S and course.missing <= allowed and images == {_BETTER: nodes},
        how=f"maxUnavailablePercent {_UNAVAILABLE_PERCENT}; a new agent counts once it has been ready for 15 s"
        f"; pods looked at {1 / _LOOK_S:.0f} times a second",
    )


async def _bad(api: Api, agents: Mirror[Manifest], pods: Mirror[Manifest], *, nodes: int) -> Figure:
    course = await _course(api, agents, pods, image=kwok.BAD_IMAGE, until=RolloutStage.ROLLED_BACK, nodes=nodes)
    failed_s = time.monotonic() - course.began_at
    await pods.until(
        lambda: _images(pods) == {_BETTER: nodes}, within_s=_WITHIN_S, what="every node has its old agent again"
    )
    took_s = time.monotonic() - course.began_at
    return Figure(
        name=f"An image that cannot be pulled, over {nodes:,} nodes",
        value=f"tried on {len(course.tried)} nodes; found after {failed_s:.1f} s, all as before after {took_s:.1f} s",
        goal=f"stops at the {_CANARY_NODES} canaries and goes back",
        met=len(course.tried) <= _CANARY_NODES,
        how="by the pods that ever had the image",
    )


async def _course(
    api: Api, agents: Mirror[Manifest], pods: Mirror[Manifest], *, image: str, until: RolloutStage, nodes: int
) -> Course:
    """Roll an image out, and watch how it goes until its rollout has come to a stage."""
    course = Course(image=image)
    changed = await api.patch(TELEMETRY_AGENT, namespace=_NAMESPACE, name=AGENT, change={"spec": {"image": image}})

    async def look() -> None:
        while True:
            course.look(list(pods.objects.values()), nodes=nodes)
            await asyncio.sleep(_LOOK_S)

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look())
        await _until(agents, until, generation=changed["metadata"]["generation"])
        looking.cancel()
    return course


async def _until(agents: Mirror[Manifest], stage: RolloutStage, *, generation: int) -> None:
    def there() -> bool:
        status = agents.objects[_NAMESPACE, AGENT].get("status", {})
        at = (status.get("rollout") or {}).get("stage")
        ended = stage is not RolloutStage.COMPLETE or status.get("updated") == status.get("desired") != 0
        return status.get("observedGeneration") == generation and at == stage.value and ended

    await agents.until(there, within_s=_WITHIN_S, what=f"the rollout is {stage.value}")


def _whole(manifest: Manifest) -> Manifest:
    return manifest


def _agent(image: str) -> Manifest:
    return {"image": image, "rollout": _ROLLOUT}


def _policy() -> Manifest:
    return {
        "telemetry": {"agents": [{"name": AGENT}]},
        "tenants": [{"name": "gold"}],
        "gateway": {"upstreams": [{"name": "llm", "url": "http://llm:8000"}]},
    }


def _resource(kind: str, name: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"namespace": _NAMESPACE, "name": name},
        "spec": spec,
    }


def _images(pods: Mirror[Manifest]) -> Counter[str]:
    """Return how many ready agents run which image."""
    return Counter(_image(pod) for pod in pods.objects.values() if _ready(pod))


def _image(pod: Manifest) -> str:
    image: str = pod["spec"]["containers"][0]["image"]
    return image


def _node(pod: Manifest) -> str:
    node: str = pod["spec"].get("nodeName", "")
    return node


def _ready(pod: Manifest) -> bool:
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
