"""Batches as busy nodes and gateways send them."""

import random
import time
from collections.abc import Iterator
from typing import Any, Final

from e2e.bench.hintsvc.policy import TENANTS, UPSTREAM
from tokenflow_api.telemetry import Reporter, Signal, SignalState, TelemetryBatch
from tokenflow_api.windows import (
    Direction,
    GpuSamples,
    HttpProtocol,
    HttpWindows,
    ListenWindows,
    StreamWindows,
    TcpWindows,
)

GATEWAYS: Final = 2
"""The first nodes stand for gateways."""
TCP_ROWS: Final = 40
HTTP_ROWS: Final = 20
_CLASSES: Final = tuple(f"192.0.{number}.0/24" for number in range(4))
_PORT: Final = 8000
_LISTEN_ROWS: Final = 5
_GPUS: Final = 4
_SIGNALS: Final = ("TCPRoundTripTime", "TCPRetransmit", "ListenBacklog", "HTTPLatency", "TLSLatency", "GPU")
_ROUND_TRIP_US: Final = 2000


def reporter_of(node: int) -> tuple[Reporter, str]:
    """Return what a reporter is, and the name that it goes by."""
    return (Reporter.GATEWAY, f"gateway-{node}") if node < GATEWAYS else (Reporter.AGENT, f"node-{node}")


def batches(node: int) -> Iterator[TelemetryBatch]:
    """Yield what one reporter sends, window after window, stamped when it is taken.

    Args:
        node: its number; the first ``GATEWAYS`` are gateways, the others agents.
    """
    first = _gateway(node) if node < GATEWAYS else _agent(node)
    sequence = 0
    while True:
        sequence += 1
        now = time.time_ns() // 1_000_000
        yield first.model_copy(update={"sequence": sequence, "sent_at_unix_ms": now, **_stamped(first, now)})


def _stamped(batch: TelemetryBatch, now: int) -> dict[str, Any]:
    tables = {"tcp": batch.tcp, "listen": batch.listen, "http": batch.http, "streams": batch.streams}
    stamped: dict[str, Any] = {
        name: table.model_copy(update={"start_unix_ms": [now - batch.window_ms] * len(table)})
        for name, table in tables.items()
    }
    return stamped | {"gpu": batch.gpu.model_copy(update={"at_unix_ms": [now] * len(batch.gpu)})}


def _gateway(node: int) -> TelemetryBatch:
    rows = [(tenant, prefix) for tenant in TENANTS for prefix in _CLASSES]
    return _batch(
        node,
        streams=StreamWindows(
            start_unix_ms=_numbers(0, rows),
            tenant=[tenant for tenant, _ in rows],
            upstream=[UPSTREAM for _ in rows],
            destination_class=[prefix for _, prefix in rows],
            service_port=_numbers(_PORT, rows),
            pod_namespace=["bench" for _ in rows],
            pod_name=[f"gateway-{node}" for _ in rows],
            active_streams=_numbers(10, rows),
            delivered_tokens=_numbers(400, rows),
            delivered_bytes=_numbers(90_000, rows),
            unsent_bytes=_numbers(0, rows),
            srtt_us=[_near(_ROUND_TRIP_US) for _ in rows],
            min_rtt_us=_numbers(_ROUND_TRIP_US // 2, rows),
            retransmits=_numbers(0, rows),
        ),
    )


def _agent(node: int) -> TelemetryBatch:
    return _batch(
        node,
        tcp=_tcp(node),
        listen=_listen(node),
        http=_http(node),
        gpu=_gpu(node),
        signals=[Signal(name=name, backend="tp_btf", state=SignalState.ACTIVE) for name in _SIGNALS],
    )


def _batch(node: int, **tables: Any) -> TelemetryBatch:
    reporter, name = reporter_of(node)
    agent = "bench/nodes" if reporter is Reporter.AGENT else ""
    fixed = {"clock_error_ms": 5, "boot_id": f"{name}-{time.time_ns()}", "sequence": 1, "sent_at_unix_ms": 0}
    return TelemetryBatch(reporter=reporter, agent=agent, node=name, **fixed, **tables)


def _tcp(node: int) -> TcpWindows:
    rows = range(TCP_ROWS)
    # The agents see the sockets of the gateways that run on their nodes.
    pods = [f"gateway-{node % GATEWAYS}" if row < len(_CLASSES) else f"pod-{node}-{row}" for row in rows]
    return TcpWindows(
        start_unix_ms=_numbers(0, rows),
        pod_namespace=["bench" for _ in rows],
        pod_name=pods,
        pod_uid=[f"uid-{node}-{row}" for row in rows],
        direction=[Direction.SERVED for _ in rows],
        service_port=_numbers(_PORT, rows),
        destination_class=[_CLASSES[row % len(_CLASSES)] for row in rows],
        segments=[_near(1000) for _ in rows],
        samples=[_near(800) for _ in rows],
        rtt_sum_us=[_near(800 * _ROUND_TRIP_US) for _ in rows],
        rtt_min_us=[_near(_ROUND_TRIP_US // 2) for _ in rows],
        rtt_max_us=[_near(4 * _ROUND_TRIP_US) for _ in rows],
        rtt_p50_us=[_near(_ROUND_TRIP_US) for _ in rows],
        rtt_p95_us=[_near(2 * _ROUND_TRIP_US) for _ in rows],
        rtt_p99_us=[_near(3 * _ROUND_TRIP_US) for _ in rows],
        srtt_us=[_near(_ROUND_TRIP_US) for _ in rows],
        rttvar_us=[_near(200) for _ in rows],
        path_min_rtt_us=[_near(_ROUND_TRIP_US // 2) for _ in rows],
        sent=[_near(1200) for _ in rows],
        retransmits=_numbers(1, rows),
        spurious=_numbers(0, rows),
        lost=_numbers(1, rows),
        out_of_order=_numbers(0, rows),
        resets=_numbers(0, rows),
        zero_windows=_numbers(0, rows),
        connections=_numbers(10, rows),
        congested_connections=_numbers(0, rows),
        unsent_bytes=_numbers(0, rows),
        unread_bytes=_numbers(0, rows),
        delivery_bytes_per_second=[_near(1_000_000) for _ in rows],
    )


def _listen(node: int) -> ListenWindows:
    rows = range(_LISTEN_ROWS)
    return ListenWindows(
        start_unix_ms=_numbers(0, rows),
        pod_namespace=["bench" for _ in rows],
        pod_name=[f"pod-{node}-{row}" for row in rows],
        pod_uid=[f"uid-{node}-{row}" for row in rows],
        service_port=_numbers(_PORT, rows),
        backlog=_numbers(1, rows),
        backlog_limit=_numbers(128, rows),
        drops=_numbers(0, rows),
        overflows=_numbers(0, rows),
    )


def _http(node: int) -> HttpWindows:
    rows = range(HTTP_ROWS)
    return HttpWindows(
        start_unix_ms=_numbers(0, rows),
        pod_namespace=["bench" for _ in rows],
        pod_name=[f"pod-{node}-{row}" for row in rows],
        pod_uid=[f"uid-{node}-{row}" for row in rows],
        direction=[Direction.SERVED for _ in rows],
        service_port=_numbers(_PORT, rows),
        tls=[False for _ in rows],
        protocol=[HttpProtocol.HTTP1 for _ in rows],
        method=["POST" for _ in rows],
        route=["/v1/chat/completions" for _ in rows],
        status=["2xx" for _ in rows],
        requests=[_near(100) for _ in rows],
        latency_sum_us=[_near(20_000_000) for _ in rows],
        latency_p50_us=[_near(200_000) for _ in rows],
        latency_p95_us=[_near(400_000) for _ in rows],
        latency_p99_us=[_near(500_000) for _ in rows],
        first_byte_p50_us=[_near(50_000) for _ in rows],
        first_byte_p99_us=[_near(90_000) for _ in rows],
        streams=_numbers(50, rows),
        first_event_p50_us=[_near(60_000) for _ in rows],
        first_event_p99_us=[_near(99_000) for _ in rows],
        gap_p50_us=[_near(20_000) for _ in rows],
        gap_p99_us=[_near(60_000) for _ in rows],
        events=[_near(2500) for _ in rows],
        event_bytes=[_near(500_000) for _ in rows],
    )


def _gpu(node: int) -> GpuSamples:
    rows = range(_GPUS)
    return GpuSamples(
        at_unix_ms=_numbers(0, rows),
        uuid=[f"GPU-{node}-{row}" for row in rows],
        parent_uuid=["" for _ in rows],
        index=list(rows),
        model=["H100" for _ in rows],
        utilization_percent=_numbers(60, rows),
        memory_used_bytes=_numbers(40 << 30, rows),
        memory_total_bytes=_numbers(80 << 30, rows),
        temperature_celsius=_numbers(60, rows),
        power_milliwatts=_numbers(400_000, rows),
        power_limit_milliwatts=_numbers(700_000, rows),
        sm_clock_mhz=_numbers(1900, rows),
        throttle_reasons=["" for _ in rows],
        sm_occupancy_percent=_numbers(None, rows),
        ecc_errors=_numbers(0, rows),
        xid_errors=_numbers(0, rows),
    )


def _numbers(value: Any, rows: Any) -> list[Any]:
    return [value for _ in rows]


def _near(value: int) -> int:
    return round(value * random.uniform(0.9, 1.1))  # noqa: S311 - a load, not a secret
