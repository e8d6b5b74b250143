"""``kubectl tokenflow explain`` against a real replica: kubectl alone is played, by a script."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.bench.proc import free_port
from tests.hintsvc.support import RedisServer, replicas, runtime, tell_of_streams
from tests.operator import builders
from tests.operator.cli.stand_in import stand_in
from tests.serving.authority import Authority
from tests.serving.issuer import ISSUER, Issuer
from tokenflow_api.runtime import Grant, Role, RuntimeConfig
from tokenflow_operator.cli.__main__ import main

pytestmark = pytest.mark.redis

HOST = "demo-hintsvc.default.svc"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(free_port(), tmp_path)
    server.start()
    yield server
    server.stop()


def config(**spec: Any) -> RuntimeConfig:
    granted = Grant(namespace="default", service_account="demo-gateway", role=Role.GATEWAY)
    tenants = [{"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}}, {"name": "open"}]
    return runtime(tenants=tenants, telemetry={"staleAfter": "60s"}, **spec).model_copy(update={"grants": [granted]})


@asynccontextmanager
async def explained(
    redis_server: RedisServer,
    folder: Path,
    served: RuntimeConfig,
    *options: str,
    trust: ssl.SSLContext | None = None,
    wish: dict[str, Any] | None = None,
) -> AsyncIterator[None]:
    """Run a replica that knows a path, and a kubectl that knows the policy, leads to the replica and gives tokens.

    The replica serves by TLS where that is trusted, whatever the security in ``wish`` is by now.
    """
    issuer = Issuer()
    keys, file, policies = (folder / name for name in ("jwks.json", "runtime.json", "policies.json"))
    keys.write_text(json.dumps((await issuer.fetch()).document))
    file.write_text(served.model_dump_json())
    spec = served.spec.model_dump(mode="json", exclude_none=True)
    spec |= {"security": wish} if wish else {}
    pod = builders.pod("demo-hintsvc-0", "hintsvc")
    pod["metadata"]["labels"]["tokenflow.io/scheme"] = "https" if trust else "http"
    pods = folder / "pods.json"
    pods.write_text(json.dumps({"items": [pod]}))
    policy = {"metadata": {"namespace": "default", "name": "demo"}, "spec": spec}
    policies.write_text(json.dumps({"items": [policy]}))
    for account in ("demo-gateway", "stranger"):
        (folder / f"{account}.token").write_text(issuer.token(account=account))
    known = ("--token-keys", str(keys), "--token-issuer", ISSUER)
    async with replicas(1, redis=redis_server, file=file, options=(*known, *options), trust=trust) as (replica,):
        await tell_of_streams(redis_server, tenants=["gold", "open"])
        await replica.becomes("/v1/health", lambda answer: len(answer["paths"]) == 1, timeout_s=10)
        script = f"""
            case "$*" in
            *" create token "*) name="${{*##* create token }}"; cat "{folder}/${{name%% *}}.token" ;;
            *" port-forward service/demo-hintsvc :8080 "*)
                echo "Forwarding from {replica.url.rpartition("/")[2]} -> 8080"; exec sleep 60 ;;
            *" get pacingpolicies.tokenflow.io "*) cat {policies} ;;
            *" get pods --selector=tokenflow.io/owner=pp.demo "*) cat {pods} ;;
            *) echo "nobody plays $*" >&2; exit 1 ;;
            esac"""
        with stand_in(folder, script):
            yield


async def explain(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Return how the plugin ended and what it printed; a leader explains a new path within a second."""
    for _ in range(100):
        status = await asyncio.to_thread(main, ["-n", "default", "explain", "gold", *words])
        out, err = capsys.readouterr()
        if status == 1 or "Path llama/" in out:
            return status, out, err
        await asyncio.sleep(0.05)
    pytest.fail(f"the path was not explained in 5 s: {out}")


async def test_whom_the_policy_grants_reads_each_step_to_the_rate_and_nobody_else(
    redis_server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with explained(redis_server, tmp_path, config()):
        status, out, _ = await explain(capsys)
        refused = await explain(capsys, "--service-account", "default/stranger")
    assert status == 0
    assert out.startswith("Tenant gold, generation 1, term ")
    path = out[out.index("Path llama/10.0.0.0/24: ") :]
    signals, steps = path.split("    SIGNAL ")[1].split("    STEP ")
    assert {"RTTInflation", "Retransmits"} <= {line.split()[0] for line in signals.splitlines()[1:]}
    told = [line.split()[0] for line in steps.splitlines()[1:]]
    assert told == ["law", "share", "model", "slew", "bounds", "quota", "gives"]
    assert refused == (1, "", f"kubectl tokenflow: {HOST}: 403 no tenant 'gold' that this caller may read of\n")


async def test_over_tls_it_knows_the_replica_by_the_policys_bundle(
    redis_server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, tls = Authority("ours"), tmp_path / "tls"
    authority.issue(tls, "server", hosts=[HOST])
    security = {"tlsSecretRef": {"name": "demo-tls"}, "caBundle": authority.pem.decode()}
    served = config(security=security)
    async with explained(redis_server, tmp_path, served, "--tls-dir", str(tls), trust=authority.client()):
        status, out, _ = await explain(capsys)
    assert (status, out.splitlines()[0].split(",")[0]) == (0, "Tenant gold")


async def test_a_policy_that_is_to_serve_by_tls_is_explained_by_the_replica_that_does_not_yet(
    redis_server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with explained(redis_server, tmp_path, config(), wish={"tlsSecretRef": {"name": "demo-tls"}}):
        status, out, _ = await explain(capsys)
    assert (status, out.splitlines()[0].split(",")[0]) == (0, "Tenant gold")
