from ipaddress import IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from tests.agent.tcp.readings import reading
from tokenflow_agent.identity import Pod
from tokenflow_agent.tcp.reading import Reading
from tokenflow_agent.tcp.windows import MAX_CLASSES, rows, table
from tokenflow_api.windows import MAX_ROWS, OTHER_CLASS, TcpWindows

POD = Pod("u", "shop", "web-0")


def windows(*readings: Reading) -> TcpWindows:
    return table(rows((POD, each) for each in readings), start_unix_ms=5, path_minimum=lambda _: 42)


def test_containers_of_a_pod_share_a_row() -> None:
    seen = windows(reading(rtt_us=100), reading(rtt_us=300))
    assert len(seen) == 1
    assert (seen.segments, seen.samples, seen.rtt_sum_us) == ([20], [20], [4000])
    assert (seen.rtt_min_us, seen.rtt_max_us, seen.path_min_rtt_us) == ([100], [300], [42])
    assert (seen.srtt_us, seen.rttvar_us) == ([200], [7])
    assert (seen.retransmits, seen.sent, seen.lost, seen.spurious, seen.out_of_order) == ([2], [22], [2], [0], [6])
    assert (seen.resets, seen.zero_windows, seen.connections, seen.congested_connections) == ([2], [4], [2], [2])
    assert (seen.unsent_bytes, seen.unread_bytes, seen.delivery_bytes_per_second) == ([0], [10], [1000])
    assert (seen.destination_class, seen.pod_name, seen.start_unix_ms) == (["10.0.0.0/24"], ["web-0"], [5])


def test_quantiles_are_those_of_all_containers() -> None:
    seen = windows(reading(rtt_us=100, segments=90), reading(rtt_us=100_000, segments=10))
    assert seen.rtt_p50_us[0] is not None
    assert seen.rtt_p95_us[0] is not None
    assert abs(seen.rtt_p50_us[0] - 100) <= 12
    assert abs(seen.rtt_p95_us[0] - 100_000) <= 12_000


def test_retransmits_without_a_round_trip_leave_the_minimum_alone() -> None:
    assert windows(reading(segments=0), reading(rtt_us=200)).rtt_min_us == [200]


def test_a_window_without_samples_has_no_quantiles_and_no_delivery_rate() -> None:
    seen = windows(reading(segments=0))
    assert (seen.rtt_p50_us, seen.rtt_p99_us, seen.delivery_bytes_per_second) == ([None], [None], [None])
    assert (seen.srtt_us, seen.retransmits) == ([0], [1])


def test_what_a_backend_cannot_tell_is_none() -> None:
    seen = windows(reading()._replace(rtt_buckets=None, resets=None, delivery_sum=None))
    assert (seen.rtt_p95_us, seen.resets, seen.delivery_bytes_per_second) == ([None], [None], [None])


@given(numbers=st.lists(st.integers(0, 2000), max_size=700))
def test_no_count_is_lost_and_classes_are_bounded(numbers: list[int]) -> None:
    seen = windows(*map(reading, numbers))
    assert sum(seen.segments) == 10 * len(numbers)
    assert sum(seen.retransmits) == len(numbers)
    assert len(set(seen.destination_class) - {OTHER_CLASS}) <= MAX_CLASSES


def test_the_busiest_classes_keep_their_names() -> None:
    quiet = [reading(number, segments=1) for number in range(MAX_CLASSES)]
    seen = windows(*quiet, reading(5000, segments=1000))
    assert "10.19.136.0/24" in seen.destination_class
    assert seen.segments[seen.destination_class.index(OTHER_CLASS)] == 1


def test_ipv6_counts_by_its_48() -> None:
    six = reading()._replace(remote=IPv6Address("2001:db8:7::").packed)
    assert windows(six).destination_class == ["2001:db8:7::/48"]


def test_a_port_scan_does_not_crowd_out_the_rest() -> None:
    scan = [reading(segments=0)._replace(service_port=port) for port in range(1, MAX_ROWS + 10)]
    seen = windows(*scan, reading(segments=50))
    assert len(seen) == MAX_ROWS
    assert 50 in seen.segments
