"""promtool accepts the rules; each alert fires after its time, not below its threshold, and ends with its cause."""

import subprocess
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operator.builders import INSTALLATION, example, policy
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_operator.plan.alerts.definitions import AlertName
from tokenflow_operator.plan.alerts.rules import rules_object
from tokenflow_operator.plan.objects import Owner

HINT_SERVICE = 'namespace="default",job="demo-hintsvc",instance="10.0.0.1:9090",pod="demo-hintsvc-0"'
OTHER_POLICY = 'namespace="other",job="demo-hintsvc",instance="10.0.0.9:9090",pod="demo-hintsvc-0"'
GATEWAY = 'namespace="default",job="demo-gateway",instance="10.0.0.2:9090",pod="demo-gateway-0"'
AGENT = 'job="default/nodes-agent",instance="10.0.0.3:9435",node="node1"'
GPU = f'{AGENT},gpu="0",uuid="GPU-1",model="H100"'
PORT = f'{AGENT},namespace="shop",pod="checkout",port="8000"'

Series = dict[str, tuple[float, float]]
"""What series say while all is well, and while it is not; a negative number stands for no series."""

GAUGES: dict[AlertName, Series] = {
    AlertName.HINT_SERVICE_DOWN: {f"up{{{HINT_SERVICE}}}": (1, 0)},
    AlertName.GATEWAY_DOWN: {f"up{{{GATEWAY}}}": (1, 0)},
    AlertName.HINT_SERVICE_NO_LEADER: {f"tokenflow_leader{{{HINT_SERVICE}}}": (1, 0)},
    AlertName.TOKEN_FLOW_HEALTH_LOW: {
        f"tokenflow_health_ratio{{{HINT_SERVICE}}}": (0.30, 0.29),
        f"tokenflow_snapshot_age_seconds{{{HINT_SERVICE}}}": (0.2, 0.2),
    },
    AlertName.CONFIG_REFUSED: {f"tokenflow_config_refused{{{HINT_SERVICE}}}": (0, 1)},
    AlertName.QUOTA_UNREACHABLE: {f"tokenflow_quota_reachable{{{HINT_SERVICE}}}": (1, 0)},
    AlertName.MODEL_DRIFT: {f"tokenflow_model_drifted{{{HINT_SERVICE}}}": (0, 1)},
    AlertName.CERTIFICATE_EXPIRING: {
        f"tokenflow_tls_certificate_expiry_timestamp_seconds{{{HINT_SERVICE}}}": (700_000, 500_000)
    },
    AlertName.API_KEY_EXPIRING: {
        f'tokenflow_api_key_next_expiry_timestamp_seconds{{{HINT_SERVICE},tenant="gold"}}': (700_000, 500_000)
    },
    AlertName.GPU_UTILIZATION_HIGH: {f"gpu_utilization_percent{{{GPU}}}": (90, 91)},
    AlertName.GPU_MEMORY_HIGH: {
        f"gpu_memory_used_bytes{{{GPU}}}": (95, 96),
        f"gpu_memory_total_bytes{{{GPU}}}": (100, 100),
    },
    AlertName.SOCKET_BACKLOG_HIGH: {f"socket_backlog_ratio{{{PORT}}}": (0.8, 0.81)},
    AlertName.AGENT_DEGRADED: {
        f'tokenflow_agent_signal_active{{{AGENT},signal="GPU",backend="",reason="NoGPU",state="Off"}}': (0, 0),
        f'tokenflow_agent_signal_active{{{AGENT},signal="SQLLatency",backend="",reason="MapFull",state="Degraded"}}': (
            -1,
            0,
        ),
    },
    AlertName.AGENT_MISSING: {f"up{{{AGENT}}}": (1, 0)},
}
WELL = (f"up{{{HINT_SERVICE}}}", f"up{{{GATEWAY}}}", f"up{{{AGENT}}}")
"""What must be there for nothing to fire."""


def _rules(folder: Path, **changes: Any) -> dict[str, Any]:
    spec = PacingPolicySpec.model_validate(example("pacingpolicy.yaml") | changes)
    resource = policy(spec)
    manifest = rules_object(Owner(key=resource.key, uid=resource.uid), spec, INSTALLATION.monitoring, as_resource=False)
    (text,) = manifest["data"].values()
    (folder / "rules.yaml").write_text(text)
    return yaml.safe_load(text)


def _promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Course:
    """What series say every 10 s: a minute while all is well, a minute while it is not, and then well again."""

    series: dict[str, list[float | None]]
    over_s: int = 60

    @classmethod
    def of_gauges(cls, gauges: Series) -> "Course":
        return cls(
            {
                name: [well if well >= 0 else None] * 6 + [bad] * 6 + [well if well >= 0 else None] * 6
                for name, (well, bad) in gauges.items()
            }
        )

    @classmethod
    def of_counters(cls, rates: Series) -> "Course":
        """Counters that grow by so much every 10 s; their rates look back over two minutes."""
        steps = {name: [well] * 6 + [bad] * 6 + [well] * 18 for name, (well, bad) in rates.items()}
        return cls({name: list(accumulate(each)) for name, each in steps.items()}, over_s=180)


COURSES = {name: Course.of_gauges(gauges) for name, gauges in GAUGES.items()} | {
    AlertName.QUOTA_EXHAUSTED: Course.of_counters(
        {
            f'tokenflow_quota_checks_total{{{HINT_SERVICE},tenant="gold",outcome="Admitted"}}': (9, 9),
            f'tokenflow_quota_checks_total{{{HINT_SERVICE},tenant="gold",outcome="Shed"}}': (1, 1),
            f'tokenflow_quota_checks_total{{{HINT_SERVICE},tenant="gold",outcome="TokensPerMinute"}}': (0, 1),
        }
    ),
    AlertName.RETRANSMITS_HIGH: Course.of_counters(
        {
            f'network_retrans_count_total{{{PORT},direction="Served"}}': (19, 30),
            f'network_segments_sent_total{{{PORT},direction="Served"}}': (1000, 1000),
        }
    ),
}


def _firing(folder: Path, series: dict[str, list[float | None]], expected: dict[int, list[AlertName]]) -> None:
    """Let promtool check which alerts fire after so many seconds."""
    _rules(folder)
    steady = {name: [1.0] * 32 for name in WELL if name not in series}
    test = {
        "interval": "10s",
        "input_series": [
            {"series": name, "values": " ".join("stale" if value is None else f"{value:g}" for value in values)}
            for name, values in (steady | series).items()
        ],
        "promql_expr_test": [
            {
                "expr": 'group by (alertname) (ALERTS{alertstate="firing",namespace="default",policy="demo"})',
                "eval_time": f"{at_s}s",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in names],
            }
            for at_s, names in expected.items()
        ],
    }
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "10s", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    _promtool("test", "rules", str(folder / "test.yaml"))


@pytest.mark.parametrize("agents", [[], [{"name": "nodes"}], [{"name": "gpus"}, {"name": "nodes"}]])
def test_promtool_accepts_the_rules(tmp_path: Path, agents: list[dict[str, str]]) -> None:
    _rules(tmp_path, telemetry={"agents": agents}, alerts={"for": "30s1m"})
    _promtool("check", "rules", "--lint-fatal", str(tmp_path / "rules.yaml"))


@pytest.mark.parametrize(("asked", "told"), [("30s", "30s"), ("30s1m", "90s"), ("1500ms", "1s500ms"), ("1h", "3600s")])
def test_durations_are_written_as_prometheus_takes_them(tmp_path: Path, asked: str, told: str) -> None:
    (group,) = _rules(tmp_path, alerts={"for": asked})["groups"]
    assert {rule["for"] for rule in group["rules"]} == {told}
    _promtool("check", "rules", str(tmp_path / "rules.yaml"))


def test_there_is_a_course_for_every_alert() -> None:
    assert set(COURSES) == set(AlertName)


@pytest.mark.parametrize("name", COURSES)
def test_an_alert_fires_after_its_time_and_ends_with_its_cause(tmp_path: Path, name: AlertName) -> None:
    course = COURSES[name]
    _firing(tmp_path, course.series, {50: [], 80: [], 110: [name], 110 + course.over_s: []})


def test_what_another_policy_does_is_of_no_concern(tmp_path: Path) -> None:
    _firing(tmp_path, {f"tokenflow_leader{{{OTHER_POLICY}}}": [0.0] * 12}, {110: []})


def test_health_is_told_by_replicas_whose_snapshot_is_fresh(tmp_path: Path) -> None:
    stale, new = HINT_SERVICE.replace("10.0.0.1", "10.0.0.4"), HINT_SERVICE.replace("10.0.0.1", "10.0.0.5")
    series = {
        f"tokenflow_health_ratio{{{HINT_SERVICE}}}": [0.9] * 12,
        f"tokenflow_snapshot_age_seconds{{{HINT_SERVICE}}}": [0.2] * 12,
        f"tokenflow_health_ratio{{{stale}}}": [0.1] * 12,
        f"tokenflow_snapshot_age_seconds{{{stale}}}": [60.0] * 12,
        f"tokenflow_health_ratio{{{new}}}": [0.0] * 12,
        f"tokenflow_snapshot_age_seconds{{{new}}}": [-1.0] * 12,
    }
    _firing(tmp_path, series, {110: []})


def test_a_single_replica_that_is_away_is_no_alert(tmp_path: Path) -> None:
    _firing(tmp_path, {f"up{{{HINT_SERVICE.replace('10.0.0.1', '10.0.0.4')}}}": [0.0] * 12}, {110: []})


def test_no_agent_at_all_is_missing_too(tmp_path: Path) -> None:
    _firing(tmp_path, {f"up{{{AGENT}}}": [None] * 12}, {110: [AlertName.AGENT_MISSING]})


def test_where_nobody_counts_what_is_sent_what_is_received_stands_for_it(tmp_path: Path) -> None:
    grows = list(accumulate([10.0] * 12))
    series: dict[str, list[float | None]] = {
        f'network_retrans_count_total{{{PORT},direction="Served"}}': [*grows],
        f'network_segments_received_total{{{PORT},direction="Served"}}': [value * 30 for value in grows],
    }
    _firing(tmp_path, series, {110: [AlertName.RETRANSMITS_HIGH]})


def test_rules_of_agents_need_agents(tmp_path: Path) -> None:
    names = {rule["alert"] for group in _rules(tmp_path, telemetry={})["groups"] for rule in group["rules"]}
    assert names.isdisjoint({"GPUUtilizationHigh", "SocketBacklogHigh", "RetransmitsHigh", "AgentMissing"})
    assert "TokenFlowHealthLow" in names


def test_every_rule_says_how_grave_it_is_and_where_the_page_about_it_stands(tmp_path: Path) -> None:
    for group in _rules(tmp_path)["groups"]:
        for rule in group["rules"]:
            assert rule["labels"].keys() == {"severity", "namespace", "policy"}
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
            assert rule["annotations"]["summary"].startswith("PacingPolicy default/demo: ")
            assert rule["annotations"]["runbook_url"].endswith(f"/alerts.md#{rule['alert'].lower()}")
