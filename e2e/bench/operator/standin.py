"""``python -m e2e.bench.operator.standin``: answers for the hint services of all policies, whose pods are fake.

It says what well replicas would say: every ready replica serves the generation of its policy's ConfigMap, and every
node with an agent reports. Whoever shows what it answered last gets a 304 while that still means the same.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import ClientError, web

from e2e.bench.operator.api import Api, Manifest, connected
from tokenflow_api.cluster import ClusterView, NodeReport, Replica
from tokenflow_api.hints import Hint, PathState, Snapshot, Source
from tokenflow_api.runtime import RUNTIME_KEY, RuntimeConfig
from tokenflow_api.telemetry import Signal, SignalState
from tokenflow_hintsvc.view.meaning import entity_tag
from tokenflow_operator.keys import OWNER_LABEL, Key, owner_of
from tokenflow_operator.kube.kinds import CONFIG_MAP, POD, Kind

_COMPONENT: Final = "app.kubernetes.io/component"
_SIGNALS: Final = [Signal(name="TCPRoundTripTime", backend="BTFTracepoint", state=SignalState.ACTIVE)]
_TTL_MS: Final = 1000
_AGAIN_S: Final = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the cluster holds of all policies and agents.

    Attributes:
        configs: what each policy's replicas run by.
        pods: names of ready pods, and the node of each, by whose they are.
    """

    configs: dict[Key, RuntimeConfig] = field(default_factory=dict)
    pods: defaultdict[Key, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def config_map(self, type_: str, manifest: Manifest) -> None:
        """Take in a change of a policy's ConfigMap."""
        owner = _owner(manifest)
        if owner is None:
            return
        if type_ == "DELETED":
            self.configs.pop(owner, None)
        else:
            self.configs[owner] = RuntimeConfig.model_validate_json(manifest["data"][RUNTIME_KEY])

    def pod(self, type_: str, manifest: Manifest) -> None:
        """Take in a change of a replica's or an agent's pod."""
        owner, name = _owner(manifest), manifest["metadata"]["name"]
        if owner is None:
            return
        if type_ == "DELETED" or not _ready(manifest):
            self.pods[owner].pop(name, None)
        else:
            self.pods[owner][name] = manifest["spec"]["nodeName"]

    def view(self, config: RuntimeConfig) -> ClusterView:
        """Return what the replicas of a policy would say at this moment."""
        now_ms = time.time_ns() // 1_000_000
        replicas = sorted(self.pods[Key("PacingPolicy", config.namespace, config.name)])
        agents = [Key("TelemetryAgent", config.namespace, agent.name) for agent in config.agents]
        return ClusterView(
            leader=replicas[0] if replicas else "",
            term=1,
            replicas=[Replica(name=name, generation=config.generation, at_unix_ms=now_ms) for name in replicas],
            nodes=[
                NodeReport(agent=agent.reported_as, node=node, at_unix_ms=now_ms, signals=_SIGNALS)
                for agent in agents
                for node in sorted(self.pods[agent].values())
            ],
            snapshot=Snapshot(
                term=1,
                version=1,
                generation=config.generation,
                at_unix_ms=now_ms,
                ttl_ms=_TTL_MS,
                health=1.0,
                hints=[_hint(tenant.name, config) for tenant in config.spec.tenants],
            ),
        )


async def follow(api: Api, kind: Kind, labels: str, take: Callable[[str, Manifest], None]) -> None:
    """Take in all objects that carry labels, and what becomes of them. Runs until cancelled."""
    while True:
        try:
            items, version = await api.list(kind, labels=labels)
            for item in items:
                take("ADDED", item)
            async for event in api.watch(kind, since=version, labels=labels):
                if event.type == "ERROR":
                    break
                take(event.type, event.object)
        except (ClientError, TimeoutError) as error:
            print(f"{kind.plural}: {str(error) or type(error).__name__}", flush=True)
        await asyncio.sleep(_AGAIN_S)


async def serve(kubeconfig: Path, *, address: str, port: int) -> None:
    """Answer for all hint services at an address until cancelled."""
    seen = Seen()

    async def cluster(request: web.Request) -> web.Response:
        name, _, rest = (request.host.partition(":")[0]).partition(".")
        config = seen.configs.get(Key("PacingPolicy", rest.removesuffix(".svc"), name.removesuffix("-hintsvc")))
        if config is None:
            raise web.HTTPServiceUnavailable
        view = seen.view(config)
        headers = {"ETag": (tag := entity_tag(view, config))}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.json_response(text=view.model_dump_json(), headers=headers)

    app = web.Application()
    app.add_routes([web.get("/v1/cluster", cluster)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    async with connected(kubeconfig) as api, asyncio.TaskGroup() as group:
        group.create_task(follow(api, CONFIG_MAP, f"{_COMPONENT}=runtime", seen.config_map))
        group.create_task(follow(api, POD, f"{_COMPONENT} in (agent, hintsvc)", seen.pod))
        await web.TCPSite(runner, address, port).start()


def _owner(manifest: Manifest) -> Key | None:
    meta = manifest["metadata"]
    return owner_of(namespace=meta["namespace"], label=meta["labels"].get(OWNER_LABEL, ""))


def _ready(pod: Manifest) -> bool:
    conditions = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _hint(tenant: str, config: RuntimeConfig) -> Hint:
    return Hint(
        tenant=tenant,
        tokens_per_second=config.spec.pacing.max_tokens_per_second,
        batch_size=1,
        batch_delay_ms=0,
        health=1.0,
        state=PathState.CLEAR,
        source=Source.LIVE,
        mode=config.spec.mode,
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.operator.standin", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.kubeconfig, address=arguments.address, port=arguments.port))


if __name__ == "__main__":
    main()
