"""Everything that the agent exports, as the scrapers' own tools read it."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.agent.export.tables import TRACE_ID, batch, findings
from tokenflow_agent.delivery.state import Circuit, DeliveryState, DestinationState, SpoolState
from tokenflow_agent.export.exposition import OPENMETRICS, PROMETHEUS, blocks, chosen
from tokenflow_agent.export.figures import Figures
from tokenflow_agent.export.model import Family, Labels, Point, counter, gauge
from tokenflow_agent.export.push import Pusher
from tokenflow_agent.export.series import Node

DELIVERY = DeliveryState(
    SpoolState(disk_bytes=1000, memory_bytes=10),
    (
        DestinationState(
            policy="demo",
            url="http://h",
            circuit=Circuit.OPEN,
            message="",
            waiting=3,
            lag_ms=2500,
            outcomes={"sent": 9, "failed": 1},
            dropped={"SpoolFull": 2},
        ),
    ),
)


async def everything() -> list[Family]:
    found = findings()
    figures = Figures(Node(living=set))
    whole = batch(found)
    figures.show(whole, [found], gpu_interval_s=2)
    pusher = Pusher(lambda: iter(()), resource={})
    await pusher.push()
    own = figures.own.families(
        signals=whole.signals, delivery=DELIVERY, failures={"TcpSource": 1}, restarts={"TcpSource": 2}
    )
    return [(metric, list(points)) for metric, points in [*figures.families(), *own, *pusher.families()]]


@pytest.fixture
async def families() -> list[Family]:
    return await everything()


def text(families: list[Family]) -> str:
    return "".join(PROMETHEUS.text(families))


def test_promtool_finds_no_fault_but_the_unit_that_users_know(families: list[Family]) -> None:
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=text(families), capture_output=True, text=True, check=False
    )
    known = re.compile(r"\w+_(us|us_total) metric names should not contain abbreviated units")
    assert [line for line in (result.stdout + result.stderr).splitlines() if not known.fullmatch(line)] == []


def test_both_formats_say_the_same(families: list[Family]) -> None:
    plain = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text(families))
        for sample in family.samples
    }
    strict = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in openmetrics.text_string_to_metric_families("".join(OPENMETRICS.text(families)))
        for sample in family.samples
    }
    assert plain == strict
    assert len(plain) > 70


def test_the_names_that_users_know_are_there(families: list[Family]) -> None:
    names = {family.name for family in text_string_to_metric_families(text(families))}
    assert names >= {
        "network_rtt_us",
        "network_retrans_count",
        "gpu_utilization_percent",
        "gpu_memory_used_bytes",
        "gpu_temperature_celsius",
        "gpu_power_watts",
        "gpu_sm_occupancy_percent",
        "socket_backlog_ratio",
        "ebpf_events",
        "ebpf_events_lost",
        "ebpf_map_usage_percent",
        "ebpf_cpu_usage_percent",
        "otlp_export_duration_seconds",
        "tokenflow_agent_signal_active",
    }


def test_every_series_says_what_the_window_said(families: list[Family]) -> None:
    lines = set(text(families).splitlines())
    pod = 'namespace="llm",pod="vllm-0",port="8000"'
    assert lines >= {
        f'network_rtt_us{{{pod},direction="Served"}} 1.0',
        f'network_rtt_p99_us{{{pod},direction="Served"}} 7',
        f'network_retrans_count_total{{{pod},direction="Served"}} 7',
        f"socket_backlog_ratio{{{pod}}} 1.0",
        f'sql_statements_total{{{pod},direction="Served",system="postgresql",verb="SELECT"}} 7',
        'gpu_power_watts{gpu="0",uuid="GPU-1",parent="",model="H100"} 0.007',
        'gpu_throttled{gpu="0",uuid="GPU-1",parent="",model="H100",reason="HwSlowdown"} 1',
        'gpu_pod_memory_used_bytes{uuid="GPU-1",namespace="llm",pod="vllm-0"} 7',
        "ebpf_events_total 100",
        'ebpf_events_lost_total{reason="MapFull"} 3',
        "ebpf_cpu_usage_percent 0.4",
        "tokenflow_agent_cpu_usage_percent 0.5",
        'tokenflow_agent_signal_active{signal="GPU",backend="NVML",reason="",state="Active"} 1',
        'tokenflow_agent_windows_dropped_total{policy="demo",reason="SpoolFull"} 2',
        'tokenflow_agent_circuit_state{policy="demo",state="Open"} 1',
        'tokenflow_agent_send_lag_seconds{policy="demo"} 2.5',
        'tokenflow_agent_spool_bytes{where="disk"} 1000',
    }


def test_slow_requests_carry_their_trace_in_openmetrics_alone(families: list[Family]) -> None:
    (line,) = [line for line in OPENMETRICS.text(families) if TRACE_ID in line]
    assert "http_requests_total{" in line
    assert line.endswith(f'# {{trace_id="{TRACE_ID}"}} 1500000 1700000000.000\n')
    assert TRACE_ID not in text(families)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", PROMETHEUS),
        ("*/*", PROMETHEUS),
        ("text/plain;version=0.0.4", PROMETHEUS),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3", OPENMETRICS),
    ],
)
def test_the_scraper_chooses(accept: str, form: object) -> None:
    assert chosen(accept) is form


def test_hostile_names_stay_within_their_label() -> None:
    family = (counter("c", "C."), [Point(Labels(("a",), ('x"} 1\ny\\',)), 1)])
    (parsed,) = text_string_to_metric_families(text([family]))
    assert [sample.labels for sample in parsed.samples] == [{"a": 'x"} 1\ny\\'}]


def test_a_large_exposition_comes_in_blocks() -> None:
    def many() -> Iterator[Point]:
        for number in range(10_000):
            yield Point(Labels(("n",), (number,)), 1)

    pieces = list(blocks(PROMETHEUS.text([(gauge("g", "G."), many())])))
    assert len(pieces) > 1
    assert max(len(piece) for piece in pieces) < 100_000
    assert b"".join(pieces).count(b"\ng{") == 10_000
