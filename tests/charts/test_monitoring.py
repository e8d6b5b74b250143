"""The chart's own rules and monitor: where the cluster serves such, and as promtool accepts them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.commands import run
from tests.charts.rendering import ROOT, rendered

SERVED = tuple(
    argument
    for kind in ("PrometheusRule", "ServiceMonitor")
    for argument in ("--api-versions", f"monitoring.coreos.com/v1/{kind}")
)


def _monitoring(*arguments: str) -> dict[str, dict[str, Any]]:
    found = [one for one in rendered(*arguments) if one["apiVersion"] == "monitoring.coreos.com/v1"]
    return {one["kind"]: one for one in found}


@pytest.mark.cluster
def test_nothing_is_rendered_that_the_cluster_does_not_serve(cluster: object) -> None:
    assert cluster
    assert _monitoring() == {}
    assert _monitoring(*SERVED[:2]).keys() == {"PrometheusRule"}
    assert _monitoring(*SERVED).keys() == {"PrometheusRule", "ServiceMonitor"}
    assert _monitoring(*SERVED, "--set", "monitoring.enabled=false") == {}


@pytest.mark.cluster
def test_a_prometheus_finds_them_by_its_label(cluster: object) -> None:
    assert cluster
    for one in _monitoring(*SERVED, "--set", "monitoring.labels.release=kps").values():
        assert one["metadata"]["labels"]["release"] == "kps"
        assert one["metadata"]["labels"]["app.kubernetes.io/name"] == "tokenflow-operator"


@pytest.mark.cluster
def test_the_operator_is_told_of_the_labels(cluster: object) -> None:
    assert cluster
    (deployment,) = [
        one for one in rendered("--set", "monitoring.labels.a=b,monitoring.labels.c=d") if one["kind"] == "Deployment"
    ]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "TOKENFLOW_MONITORING_LABELS", "value": "a=b,c=d"} in container["env"]


@pytest.mark.cluster
def test_promtool_accepts_the_rules_and_each_has_its_page(cluster: object, tmp_path: Path) -> None:
    assert cluster
    groups = _monitoring(*SERVED)["PrometheusRule"]["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups))
    up = 'namespace="system",job="tokenflow-operator"'
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f"up{{{up}}}", "values": "1x9 0x9"},
            {"series": f"tokenflow_operator_leader{{{up}}}", "values": "1x4 0x14"},
            {"series": f'tokenflow_operator_reconciles_total{{{up},result="error"}}', "values": "0x4 0+1x14"},
        ],
        "promql_expr_test": [
            {"expr": FIRING, "eval_time": "4m", "exp_samples": []},
            {"expr": FIRING, "eval_time": "7m", "exp_samples": _samples("NoLeader")},
            {"expr": FIRING, "eval_time": "17m", "exp_samples": _samples("Down", "NoLeader", "ReconcileErrors")},
        ],
    }
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    run(["promtool", "check", "rules", "--lint-fatal", str(tmp_path / "rules.yaml")])
    run(["promtool", "test", "rules", str(tmp_path / "test.yaml")])
    anchors = {heading.lower() for heading in re.findall(r"^### (.+)$", PAGE.read_text(), flags=re.MULTILINE)}
    links = [rule["annotations"]["runbook_url"] for group in groups["groups"] for rule in group["rules"]]
    assert {link.rpartition("#")[2] for link in links} <= anchors


FIRING = 'group by (alertname) (ALERTS{alertstate="firing"})'
PAGE = ROOT / "docs" / "alerts.md"


def _samples(*names: str) -> list[dict[str, Any]]:
    return [{"labels": f'{{alertname="TokenFlowOperator{name}"}}', "value": 1} for name in names]
