"""What the model of a path does to packets."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.link.observed import Observer
from e2e.link.path import Bursts, Conditions, Direction, Lost, Phase, outage, upward
from e2e.link.traces import TraceError, cellular, recorded


def always(conditions: Conditions) -> tuple[Phase, ...]:
    return (Phase(seconds=0, conditions=conditions),)


def direction(*phases: Phase, seed: int = 1) -> Direction:
    return Direction(phases, began=0.0, seed=seed)


def test_a_packet_takes_its_own_time_at_the_bottleneck_and_that_of_the_line() -> None:
    way = direction(*always(Conditions(kbit=80, delay_ms=30)))
    assert way.offer(1000, at=1.0) == pytest.approx(1.13)


def test_packets_wait_for_one_another_at_the_bottleneck() -> None:
    way = direction(*always(Conditions(kbit=80)))
    assert [way.offer(1000, at=0.0) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])


def test_a_path_without_a_rate_holds_nothing_back() -> None:
    way = direction(*always(Conditions(delay_ms=5)))
    assert [way.offer(1500, at=0.0) for _ in range(3)] == pytest.approx([0.005] * 3)


def test_what_the_buffer_cannot_hold_is_lost() -> None:
    way = direction(*always(Conditions(kbit=8, buffer_kib=2)))
    assert [way.offer(1000, at=0.0) for _ in range(3)] == [1.0, 2.0, Lost.BUFFER]
    assert way.offer(1000, at=1.5) == 3.0


def test_the_rate_changes_while_a_packet_is_being_sent() -> None:
    way = direction(*always(Conditions(trace_kbit=(8, 4), step_s=1.0)))
    # 12 kbit: 8 in the first second, 4 in the second one; then a whole round for the next 12.
    assert [way.offer(1500, at=0.0) for _ in range(2)] == pytest.approx([2.0, 4.0])


def test_packets_wait_through_an_outage_and_go_the_new_way() -> None:
    before, after = Conditions(delay_ms=10), Conditions(delay_ms=50)
    way = direction(Phase(seconds=1, conditions=before), outage(2, after), Phase(seconds=0, conditions=after))
    assert way.offer(100, at=0.5) == pytest.approx(0.51)
    assert way.offer(100, at=1.5) == pytest.approx(3.05)
    assert way.offer(100, at=4.0) == pytest.approx(4.05)


def test_nothing_passes_a_path_that_is_shut_for_ever() -> None:
    assert direction(*always(Conditions(kbit=0))).offer(100, at=0.0) is Lost.BUFFER


def test_the_way_back_is_shut_only_in_an_outage() -> None:
    down = Conditions(kbit=64, delay_ms=20, loss_percent=1, bursts=Bursts(enter_percent=1, leave_percent=9))
    up = upward((Phase(seconds=1, conditions=down), outage(1, down)))
    assert [phase.conditions for phase in up] == [
        Conditions(delay_ms=20, loss_percent=1),
        Conditions(kbit=0, delay_ms=20, loss_percent=1),
    ]


def test_losses_by_chance_are_as_many_as_asked_for() -> None:
    way = direction(*always(Conditions(loss_percent=5)))
    lost = sum(way.offer(100, at=number / 100) is Lost.CHANCE for number in range(20_000))
    assert lost == pytest.approx(1000, rel=0.1)


def test_losses_in_bursts_come_together() -> None:
    way = direction(*always(Conditions(bursts=Bursts(enter_percent=1, leave_percent=25))))
    lost = [way.offer(100, at=number / 100) is Lost.CHANCE for number in range(50_000)]
    bursts = [len(list(run)) for gone, run in itertools.groupby(lost) if gone]
    assert sum(bursts) / len(bursts) == pytest.approx(4, rel=0.15)
    assert sum(lost) / len(lost) == pytest.approx(1 / 26, rel=0.15)


@given(
    sizes=st.lists(st.integers(40, 1500), min_size=1, max_size=60),
    gaps=st.lists(st.floats(0, 0.2), min_size=60, max_size=60),
    kbit=st.one_of(st.none(), st.floats(8, 10_000)),
    jitter_ms=st.floats(0, 100),
)
def test_packets_stay_in_order_and_never_come_early(
    sizes: list[int], gaps: list[float], kbit: float | None, jitter_ms: float
) -> None:
    way = direction(*always(Conditions(kbit=kbit, delay_ms=20, jitter_ms=jitter_ms, buffer_kib=64)))
    times = list(itertools.accumulate(gaps))
    outs = [(at, way.offer(size, at=at)) for at, size in zip(times, sizes, strict=False)]
    came = [(at, out) for at, out in outs if not isinstance(out, Lost)]
    assert all(out >= at + 0.02 - 1e-9 for at, out in came)
    assert all(one[1] <= other[1] for one, other in itertools.pairwise(came))


@given(st.lists(st.integers(40, 1500), min_size=1, max_size=100), st.floats(8, 1000))
def test_no_more_passes_than_the_rate_allows(sizes: list[int], kbit: float) -> None:
    way = direction(*always(Conditions(kbit=kbit, buffer_kib=1000)))
    outs = [way.offer(size, at=0.0) for size in sizes]
    assert outs[-1] == pytest.approx(sum(sizes) * 8 / 1000 / kbit)


def segment(sequence: int, data: bytes, *, port: int = 8000) -> bytes:
    ip = b"\x45" + bytes(8) + b"\x06" + bytes(2) + b"\x0a\x01\x00\x01" + b"\x0a\x01\x00\x02"
    tcp = port.to_bytes(2, "big") + b"\x04\x00" + sequence.to_bytes(4, "big") + bytes(4) + b"\x50" + bytes(7)
    return ip + tcp + data


def test_segments_that_are_sent_again_are_counted_by_port() -> None:
    seen = Observer()
    for sequence in (2**32 - 50, 50, 50, 150, 2**32 - 50):
        seen.take(segment(sequence, bytes(100)))
    seen.take(segment(150, b""))
    seen.take(segment(7, bytes(10), port=9))
    seen.take(b"\x60" + bytes(60))
    assert seen.observed.packets == 8
    assert (seen.observed.ports[8000].segments, seen.observed.ports[8000].again) == (5, 2)
    assert seen.observed.ports[8000].size == 5 * 140 + 40
    assert seen.observed.ports[9].again == 0


def test_a_recording_is_read_in_both_forms(tmp_path: Path) -> None:
    table = tmp_path / "rates.csv"
    table.write_text("seconds,kbit\n0,100\n1,50\n2.5,75\n")
    assert recorded(table, step_s=0.5) == (100, 100, 50, 50, 50, 75)
    passing = tmp_path / "passing.down"
    passing.write_text("10\n20\n900\n1500\n")
    assert recorded(passing) == (36, 12)


@pytest.mark.parametrize("words", ["", "seconds,kbit\n1,5\n", "seconds,kbit\n0,x\n", "a,b\n1,2\n"])
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, words: str) -> None:
    table = tmp_path / "bad.csv"
    table.write_text(words)
    with pytest.raises(TraceError, match=r"bad\.csv"):
        recorded(table)


def test_made_up_rates_are_the_same_for_a_seed_and_stay_in_their_bounds() -> None:
    rates = cellular(1, steps=200, median_kbit=100, least_kbit=20, most_kbit=300)
    assert rates == cellular(1, steps=200, median_kbit=100, least_kbit=20, most_kbit=300)
    assert min(rates) >= 20
    assert max(rates) <= 300
    assert len(set(rates)) > 100
