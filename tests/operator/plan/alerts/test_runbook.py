"""Every alert has its page, where its link leads, and says of itself what the table says."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.operator.running import ROOT
from tokenflow_operator.plan.alerts.definitions import Alert, AlertName, runbook
from tokenflow_operator.plan.alerts.sights import LEFT_TO_PROMETHEUS
from tokenflow_operator.plan.alerts.table import ALERTS

PAGE = (ROOT / "docs" / "alerts.md").read_text()
HEADINGS = re.findall(r"^### (.+)$", PAGE.split("## Runbook", maxsplit=1)[1], flags=re.MULTILINE)


def _row(name: str) -> list[str]:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| [{name}](#{name.lower()})")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_has_every_alert_and_no_other() -> None:
    of_the_operator = ["TokenFlowOperatorDown", "TokenFlowOperatorNoLeader", "TokenFlowOperatorReconcileErrors"]
    assert sorted(HEADINGS) == sorted([*AlertName, *of_the_operator])
    assert sorted(alert.name for alert in ALERTS) == sorted(AlertName)


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_entry_says_what_it_means_what_to_look_at_and_what_to_do(heading: str) -> None:
    entry = PAGE.split(f"### {heading}\n", maxsplit=1)[1].split("\n###", maxsplit=1)[0]
    assert "**Means**" in entry
    assert "**Look at**" in entry
    assert "**Do**" in entry


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_table_says_what_the_rules_say(alert: Alert) -> None:
    _, severity, _, seen = _row(alert.name)
    assert severity == alert.severity
    assert (seen == "no") == (alert.name in LEFT_TO_PROMETHEUS)


@pytest.mark.parametrize("docs_url", ["https://docs.example", "https://docs.example/"])
def test_a_link_leads_to_the_heading(docs_url: str) -> None:
    link = runbook(AlertName.API_KEY_EXPIRING, docs_url=docs_url)
    assert link == "https://docs.example/alerts.md#apikeyexpiring"


def test_prometheus_takes_the_scrape_configuration(tmp_path: Path) -> None:
    section = PAGE.split("## With Prometheus", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    (block,) = re.findall(r"```yaml\n(.+?)```", section, flags=re.DOTALL)
    # Debian builds Prometheus without its discovery of Kubernetes.
    static = re.sub(r"kubernetes_sd_configs: .+", "static_configs: [{targets: [example:9090]}]", block)
    (tmp_path / "prometheus.yaml").write_text(static)
    command = ["promtool", "check", "config", "--lint=all", "--lint-fatal", str(tmp_path / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_page_shows_as_yaml_and_json_is_such() -> None:
    for block in re.findall(r"```yaml\n(.+?)```", PAGE, flags=re.DOTALL):
        assert list(yaml.safe_load_all(block))
    (document,) = re.findall(r"```json\n(.+?)```", PAGE, flags=re.DOTALL)
    assert json.loads(document)["version"] == "4"
