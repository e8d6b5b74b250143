"""Samples and batches for the tests of this folder."""

from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_api.windows import Direction, StreamWindows, TcpWindows
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.samples import BottleneckSample, PathKey, PathSample

KEY = PathKey("gold", "llama", "10.0.0.0/24")
LIMITS = Limits(least=5.0, most=80.0, target_s=0.5, batch_delay_s=0.25, batch_size=16)


def window(
    second: int,
    *,
    rtt_s: float | None = 0.0005,
    least_s: float | None = None,
    tokens: float | None = 60.0,
    streams: int = 1,
    loss: float | None = 0.0,
    unsent_s: float | None = 0.0,
    size: float | None = None,
) -> BottleneckSample:
    least_s = rtt_s if least_s is None else least_s
    return BottleneckSample(
        at_ms=second * 1000,
        rtt_us=None if rtt_s is None else rtt_s * 1e6,
        rtt_min_us=None if least_s is None else least_s * 1e6,
        remembered_min_us=None,
        retransmit_ratio=loss,
        delivered_tokens_per_second=tokens,
        delivered_bytes_per_second=size,
        unsent_s=unsent_s,
        active_streams=streams,
    )


def path(
    second: int,
    *,
    key: PathKey = KEY,
    rtt_s: float | None = 0.0005,
    tokens: float | None = 60.0,
    streams: int = 1,
    loss: float | None = 0.0,
    errors: float | None = None,
) -> PathSample:
    return PathSample(
        key=key,
        at_ms=second * 1000,
        rtt_us=None if rtt_s is None else rtt_s * 1e6,
        rtt_min_us=None if rtt_s is None else rtt_s * 1e6,
        retransmit_ratio=loss,
        delivered_tokens_per_second=tokens,
        active_streams=streams,
        missing=(),
        http_error_ratio=errors,
    )


def agent_batch(
    *,
    destination_class: str = "10.0.0.0/24",
    pod: str = "gateway-1",
    samples: int = 10,
    rtt_us: int = 400_000,
    srtt_us: int = 300_000,
    connections: int | None = 2,
    sent: int | None = 200,
    retransmits: int = 10,
    node: str = "node-1",
    second: int = 100,
) -> TelemetryBatch:
    zero: list[int | None] = [0]
    return TelemetryBatch(
        reporter=Reporter.AGENT,
        agent="default/nodes",
        node=node,
        boot_id="b",
        sequence=1,
        sent_at_unix_ms=second * 1000 + 1000,
        tcp=TcpWindows(
            start_unix_ms=[second * 1000],
            pod_namespace=["default"],
            pod_name=[pod],
            pod_uid=["u"],
            direction=[Direction.SERVED],
            service_port=[8000],
            destination_class=[destination_class],
            segments=[100],
            samples=[samples],
            rtt_sum_us=[rtt_us * samples],
            rtt_min_us=[rtt_us // 2],
            rtt_max_us=[rtt_us],
            rtt_p50_us=zero,
            rtt_p95_us=zero,
            rtt_p99_us=zero,
            srtt_us=[srtt_us],
            rttvar_us=[0],
            path_min_rtt_us=[1000],
            sent=[sent],
            retransmits=[retransmits],
            spurious=zero,
            lost=zero,
            out_of_order=zero,
            resets=zero,
            zero_windows=zero,
            connections=[connections],
            congested_connections=zero,
            unsent_bytes=zero,
            unread_bytes=zero,
            delivery_bytes_per_second=zero,
        ),
    )


def gateway_batch(
    *,
    tenant: str = "gold",
    pod: str = "gateway-1",
    streams: int = 2,
    tokens: int = 40,
    size: int = 4000,
    unsent: int = 0,
    srtt_us: int = 500_000,
    min_rtt_us: int = 2000,
    second: int = 100,
) -> TelemetryBatch:
    return TelemetryBatch(
        reporter=Reporter.GATEWAY,
        node=pod,
        boot_id="g",
        sequence=1,
        sent_at_unix_ms=second * 1000 + 1000,
        streams=StreamWindows(
            start_unix_ms=[second * 1000],
            tenant=[tenant],
            upstream=["llama"],
            destination_class=["10.0.0.0/24"],
            service_port=[8000],
            pod_namespace=["default"],
            pod_name=[pod],
            active_streams=[streams],
            delivered_tokens=[tokens],
            delivered_bytes=[size],
            unsent_bytes=[unsent],
            srtt_us=[srtt_us],
            min_rtt_us=[min_rtt_us],
            retransmits=[0],
        ),
    )
