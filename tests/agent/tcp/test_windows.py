from ipaddress import IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.identity import Pod
from tokenflow_agent.tcp.reading import Reading
from tokenflow_agent.tcp.windows import MAX_CLASSES, table
from tokenflow_api.windows import MAX_ROWS, OTHER_CLASS, Direction

POD = Pod("u", "shop", "web-0")


def reading(number: int = 0, *, segments: int = 10, rtt_us: int = 100, retransmits: int = 1) -> Reading:
    remote = IPv6Address(f"::ffff:10.{number // 256}.{number % 256}.0").packed
    return Reading(
        cgroup=1,
        remote=remote,
        service_port=8000,
        direction=Direction.SERVED,
        segments=segments,
        rtt_sum_us=segments * rtt_us,
        rtt_min_us=rtt_us if segments else 0,
        rtt_max_us=rtt_us,
        samples=segments,
        srtt_sum_us=segments * rtt_us,
        rttvar_sum_us=0,
        retransmits=retransmits,
    )


def test_containers_of_a_pod_share_a_row() -> None:
    rows = table([(POD, reading(rtt_us=100)), (POD, reading(rtt_us=300))], start_unix_ms=5)
    assert len(rows) == 1
    assert (rows.segments, rows.rtt_min_us, rows.rtt_max_us, rows.retransmits) == ([20], [100], [300], [2])
    assert (rows.destination_class, rows.pod_name, rows.start_unix_ms) == (["10.0.0.0/24"], ["web-0"], [5])


def test_retransmits_without_a_round_trip_leave_the_minimum_alone() -> None:
    rows = table([(POD, reading(segments=0)), (POD, reading(rtt_us=200))], start_unix_ms=5)
    assert rows.rtt_min_us == [200]


@given(numbers=st.lists(st.integers(0, 2000), max_size=700))
def test_no_count_is_lost_and_classes_are_bounded(numbers: list[int]) -> None:
    rows = table([(POD, reading(number)) for number in numbers], start_unix_ms=5)
    assert sum(rows.segments) == 10 * len(numbers)
    assert sum(rows.retransmits) == len(numbers)
    assert len(set(rows.destination_class) - {OTHER_CLASS}) <= MAX_CLASSES


def test_ipv6_counts_by_its_48() -> None:
    six = reading()._replace(remote=IPv6Address("2001:db8:7::").packed)
    assert table([(POD, six)], start_unix_ms=5).destination_class == ["2001:db8:7::/48"]


def test_a_port_scan_does_not_crowd_out_the_rest() -> None:
    scan = [reading(segments=0)._replace(service_port=port) for port in range(1, MAX_ROWS + 10)]
    rows = table([*((POD, one) for one in scan), (POD, reading(segments=50))], start_unix_ms=5)
    assert len(rows) == MAX_ROWS
    assert 50 in rows.segments
