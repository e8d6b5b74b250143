"""The dashboard is one that Grafana reads, and asks for nothing that nobody exports."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.builders import example, policy
from tests.operator.running import ROOT
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_gateway import metrics as gateway_metrics
from tokenflow_gateway import server
from tokenflow_hintsvc import metrics as hintsvc_metrics
from tokenflow_operator.plan.alerts.dashboard import dashboard_object
from tokenflow_operator.plan.alerts.scope import scope
from tokenflow_operator.plan.alerts.table import ALERTS
from tokenflow_operator.plan.objects import Owner
from tokenflow_operator.settings import Monitoring

OF_PROMETHEUS = {"up", "ALERTS"}
SUFFIXES = re.compile(r"_(total|bucket|count|sum)$")


def _spec(agents: list[str]) -> PacingPolicySpec:
    named = {"telemetry": {"agents": [{"name": name} for name in agents]}}
    return PacingPolicySpec.model_validate(example("pacingpolicy.yaml") | named)


def _dashboard(agents: list[str]) -> dict[str, Any]:
    resource = policy(_spec(agents))
    manifest = dashboard_object(Owner(key=resource.key, uid=resource.uid), resource.spec, Monitoring())
    assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
    (document,) = manifest["data"].values()
    return json.loads(document)


def _expressions(agents: list[str]) -> list[str]:
    return [target["expr"] for panel in _dashboard(agents)["panels"] for target in panel.get("targets", [])]


def _exported() -> set[str]:
    # With whatever serves a request, what it counts was imported.
    assert server.serve
    registries = (hintsvc_metrics.REGISTRY, gateway_metrics.REGISTRY)
    own = {metric.name for registry in registries for metric in registry.collect()}
    sources = "".join(path.read_text() for path in (ROOT / "agent/tokenflow_agent/export").glob("*.py"))
    return own | set(re.findall(r'(?:counter|gauge|_rtt)\(\s*"([a-z0-9_]+)"', sources))


@pytest.mark.parametrize("agents", [[], ["nodes"], ["gpus", "nodes"]])
def test_panels_have_numbers_of_their_own_and_do_not_overlap(agents: list[str]) -> None:
    panels = _dashboard(agents)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert taken.isdisjoint(cells)
        taken |= cells


def test_rows_of_agents_need_agents() -> None:
    titles = {panel["title"] for panel in _dashboard([])["panels"] if panel["type"] == "row"}
    assert titles == {"Now", "Streams", "Tenants and quotas", "Hint service"}


def test_every_expression_is_promql(tmp_path: Path) -> None:
    expressions = [*_expressions(["nodes"]), *_expressions(["gpus", "nodes"])]
    rules = [{"record": f"panel:number_{number}", "expr": each} for number, each in enumerate(expressions)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_is_exported_is_asked_for() -> None:
    of = scope(policy().key, _spec(["nodes"]))
    expressions = [*_expressions(["nodes"]), *(alert.expression(of) for alert in ALERTS)]
    asked = {metric for each in expressions for metric in re.findall(r"([A-Za-z_:][A-Za-z0-9_:]*)\{", each)}
    exported = _exported()
    assert len(asked) > 40
    assert {name for name in asked if not {name, SUFFIXES.sub("", name)} & exported} == OF_PROMETHEUS


def test_two_policies_have_dashboards_of_their_own() -> None:
    first, second = (
        json.loads(next(iter(dashboard_object(Owner(key=each.key, uid="u"), each.spec, Monitoring())["data"].values())))
        for each in (policy(name="one"), policy(name="two"))
    )
    assert first["uid"] != second["uid"]
    assert len(first["uid"]) <= 40
