"""Every alert has its page, where its link leads, and says of itself what the table says."""

import re

import pytest

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
