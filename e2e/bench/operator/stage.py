"""Where the operator is disturbed: it reaches its API server through a proxy, and its nodes are fake."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from e2e.bench.errors import BenchError
from e2e.bench.operator.api import Api, connected
from e2e.bench.operator.golden import remaining
from e2e.bench.operator.site import Site
from e2e.bench.operator.subject import INSTALLATION, Subject, operator
from e2e.faults.proxy import Proxy, proxy
from tokenflow_operator.kube.kinds import PACING_POLICY, TELEMETRY_AGENT

CONVERGED_S: Final = 60.0
_LOOK_S: Final = 0.1
_FLAGS: Final = ("--no-leader-election", "--workers=1")
"""A killed leader's Lease would have to expire each time; and steps taken one by one can be told apart."""
_EXAMPLES: Final = Path(__file__).parents[3] / "examples"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """An operator and what surrounds it.

    Attributes:
        api: the API server, past the proxy.
        proxy: the operator's way to it.
    """

    site: Site
    api: Api
    proxy: Proxy
    operator: Subject

    async def create(self, namespace: str) -> None:
        """Create both examples in a namespace of their own."""
        self.site.add_namespaces(namespace)
        for kind, file in ((PACING_POLICY, "pacingpolicy.yaml"), (TELEMETRY_AGENT, "telemetryagent.yaml")):
            manifest = yaml.safe_load((_EXAMPLES / file).read_text())
            manifest["metadata"]["namespace"] = namespace
            await self.api.create_all(kind, [manifest])
        self.site.know([(namespace, "demo")])

    async def converged(self, namespace: str) -> None:
        """Wait until a namespace is as planned.

        Raises:
            BenchError: it is not in time; the message says what remains.
        """
        deadline = time.monotonic() + CONVERGED_S
        while left := await remaining(self.api, namespace=namespace, installation=INSTALLATION):
            if time.monotonic() > deadline:
                raise BenchError(f"after {CONVERGED_S:.0f} s {'; '.join(left)}: read {self.operator.program.log}")
            await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def stage(site: Site) -> AsyncIterator[Stage]:
    """Put an operator, not started yet, behind a proxy until the block is left."""
    through = site.directory / "proxy.kubeconfig"
    async with (
        connected(site.plane.layout.kubeconfig) as api,
        proxy(site.plane.operator_kubeconfig, through=through) as way,
    ):
        subject = operator(site.directory, kubeconfig=through, hosts=site.hosts, flags=_FLAGS)
        yield Stage(site=site, api=api, proxy=way, operator=subject)
