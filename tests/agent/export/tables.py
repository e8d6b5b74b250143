"""Windows in which every column says something."""

from typing import Any, TypeVar

from tokenflow_agent.sources import Exemplar, Findings
from tokenflow_api.telemetry import AgentCost, Reporter, Signal, SignalState, TelemetryBatch
from tokenflow_api.windows import GpuProcesses, GpuSamples, HttpWindows, ListenWindows, SqlWindows, TcpWindows

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"

_TEXTS: dict[str, Any] = {
    "pod_namespace": "llm",
    "pod_uid": "u",
    "direction": "Served",
    "destination_class": "192.0.2.0/24",
    "tls": False,
    "protocol": "HTTP1",
    "method": "GET",
    "route": "/v1/*",
    "status": "2xx",
    "system": "postgresql",
    "verb": "SELECT",
    "parent_uuid": "",
    "uuid": "GPU-1",
    "model": "H100",
    "throttle_reasons": "SwPowerCap,HwSlowdown",
    "service_port": 8000,
    "index": 0,
}

TableT = TypeVar("TableT", TcpWindows, ListenWindows, HttpWindows, SqlWindows, GpuSamples, GpuProcesses)


def table(kind: type[TableT], *, rows: int = 1, **columns: Any) -> TableT:
    """Return a table of rows that are alike but for the pod; a column is given as the value of every row."""
    values = {name: [columns.get(name, _TEXTS.get(name, 7))] * rows for name in kind.model_fields}
    if "pod_name" in values and "pod_name" not in columns:
        values["pod_name"] = [f"vllm-{row}" for row in range(rows)]
    return kind(**values)


def findings() -> Findings:
    """Return what a busy node's sources find."""
    return Findings(
        tcp=table(TcpWindows),
        listen=table(ListenWindows),
        http=table(HttpWindows),
        sql=table(SqlWindows),
        gpu=table(GpuSamples),
        gpu_processes=table(GpuProcesses),
        exemplars=[
            Exemplar(namespace="llm", pod="vllm-0", port=8000, route="/v1/*", trace_id=TRACE_ID, latency_us=1_500_000)
        ],
        events=100,
        lost={"MapFull": 3},
        outside=5,
        map_usage_percent={"tcp": 12.5},
        bpf_ns=4_000_000,
    )


def batch(found: Findings, *, cost: AgentCost | None = None) -> TelemetryBatch:
    """Return the batch that is made of ``found``."""
    return TelemetryBatch(
        reporter=Reporter.AGENT,
        node="n1",
        boot_id="b",
        sequence=1,
        sent_at_unix_ms=1_700_000_000_000,
        tcp=found.tcp or TcpWindows(),
        listen=found.listen or ListenWindows(),
        http=found.http or HttpWindows(),
        sql=found.sql or SqlWindows(),
        gpu=found.gpu or GpuSamples(),
        gpu_processes=found.gpu_processes or GpuProcesses(),
        signals=[Signal(name="GPU", backend="NVML", state=SignalState.ACTIVE)],
        cost=cost or AgentCost(cpu_us=5000, bpf_us=4000, resident_bytes=30_000_000, events=100, lost=3),
    )
