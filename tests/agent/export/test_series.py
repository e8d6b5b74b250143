from prometheus_client.parser import text_string_to_metric_families

from tests.agent.export.tables import table
from tokenflow_agent.export import gpus, network
from tokenflow_agent.export.exposition import PROMETHEUS
from tokenflow_agent.export.series import Node, SeriesTable
from tokenflow_api.windows import GpuSamples, ListenWindows, TcpWindows


class World:
    """A node with a clock and pods."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pods: set[tuple[str, str]] = set()
        self.node = Node(living=lambda: self.pods, clock=lambda: self.now_s)


def values(series: SeriesTable, name: str, *, by: str = "pod") -> dict[str, float]:
    text = "".join(PROMETHEUS.text(series.families()))
    return {
        sample.labels[by]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def joined(*tables: TcpWindows) -> TcpWindows:
    return TcpWindows(
        **{name: [value for each in tables for value in getattr(each, name)] for name in TcpWindows.model_fields}
    )


def test_counters_add_up_over_windows_and_client_networks() -> None:
    series = network.connections(World().node)
    for _ in range(3):
        series.add(joined(table(TcpWindows, retransmits=2), table(TcpWindows, retransmits=5)), valid_s=15)
    assert values(series, "network_retrans_count_total") == {"vllm-0": 21}


def test_client_networks_are_merged_as_told() -> None:
    series = network.connections(World().node)
    near = table(TcpWindows, rtt_sum_us=1000, samples=10, rtt_min_us=80, rtt_p99_us=300, unsent_bytes=5)
    far = table(TcpWindows, rtt_sum_us=9000, samples=10, rtt_min_us=700, rtt_p99_us=2000, unsent_bytes=None)
    series.add(joined(near, far), valid_s=15)
    assert values(series, "network_rtt_us") == {"vllm-0": 500}
    assert values(series, "network_rtt_min_us") == {"vllm-0": 80}
    assert values(series, "network_rtt_p99_us") == {"vllm-0": 2000}
    assert values(series, "network_unsent_bytes") == {"vllm-0": 5}


def test_what_cannot_be_told_is_left_out() -> None:
    series = network.connections(World().node)
    series.add(table(TcpWindows, lost=None, samples=0, rtt_sum_us=0, rtt_min_us=0, rtt_p99_us=None), valid_s=15)
    for name in ("network_segments_lost_total", "network_rtt_us", "network_rtt_min_us", "network_rtt_p99_us"):
        assert values(series, name) == {}
    samples = gpus.gpus(World().node)
    samples.replace(table(GpuSamples, sm_occupancy_percent=None), valid_s=15)
    assert values(samples, "gpu_sm_occupancy_percent", by="uuid") == {}
    assert values(samples, "gpu_utilization_percent", by="uuid") == {"GPU-1": 7}


def test_an_idle_pod_is_told_as_zero_where_zero_is_known() -> None:
    series = network.accept_queues(World().node)
    series.add(table(ListenWindows, backlog=0, backlog_limit=128, drops=0), valid_s=15)
    assert values(series, "socket_backlog_ratio") == {"vllm-0": 0}
    assert values(series, "socket_backlog_drops_total") == {"vllm-0": 0}


def test_gauges_of_the_silent_leave_and_their_counters_stay() -> None:
    world = World()
    series = network.connections(world.node)
    series.add(table(TcpWindows), valid_s=15)
    world.now_s = 14
    assert values(series, "network_rtt_p50_us") == {"vllm-0": 7}
    world.now_s = 15
    assert values(series, "network_rtt_p50_us") == {}
    assert values(series, "network_retrans_count_total") == {"vllm-0": 7}


def test_counters_of_the_dead_leave_and_those_of_the_living_go_on() -> None:
    world = World()
    series = network.connections(world.node)
    series.add(table(TcpWindows, rows=2), valid_s=15)
    world.now_s, world.pods = 301, {("llm", "vllm-1")}
    series.add(TcpWindows(), valid_s=15)
    assert values(series, "network_retrans_count_total") == {"vllm-1": 7}
    series.add(table(TcpWindows, rows=2), valid_s=15)
    assert values(series, "network_retrans_count_total") == {"vllm-0": 7, "vllm-1": 14}


def test_beyond_the_bound_pods_are_one() -> None:
    series = network.connections(World().node)
    series.add(table(TcpWindows, rows=1100), valid_s=15)
    counts = values(series, "network_retrans_count_total")
    assert len(counts) == 1025
    assert counts["~other"] == (1100 - 1024) * 7


def test_those_silent_for_long_make_room_first() -> None:
    world = World()
    series = network.connections(world.node)
    series.add(table(TcpWindows, rows=1024), valid_s=15)
    world.now_s = 301
    world.pods = {("llm", f"vllm-{row}") for row in range(1024)}
    series.add(table(TcpWindows, pod_name="new"), valid_s=15)
    assert values(series, "network_retrans_count_total") == {"new": 7}


def test_a_gpu_that_vanishes_takes_its_series_along() -> None:
    series = gpus.gpus(World().node)
    series.replace(table(GpuSamples), valid_s=15)
    series.replace(GpuSamples(), valid_s=15)
    assert values(series, "gpu_utilization_percent", by="uuid") == {}
