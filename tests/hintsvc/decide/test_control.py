from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hintsvc.decide.support import LIMITS, window
from tokenflow_api.hints import PathState
from tokenflow_hintsvc.decide.control import LOOP_DELAY_S, Control, gain, step
from tokenflow_hintsvc.decide.limits import Limits
from tokenflow_hintsvc.decide.slew import slewed


def rate(control: Control) -> float:
    return control.total / control.streams if control.congested else LIMITS.most


def congested(seconds: int = 20, *, tokens: float = 10.0) -> Control:
    control = step(Control(), window(1), LIMITS)
    for second in range(2, seconds):
        control = step(control, window(second, rtt_s=3.0, tokens=tokens), LIMITS)
    return control


def test_a_clear_path_runs_at_the_policys_maximum() -> None:
    control = Control()
    for second in range(1, 20):
        control = step(control, window(second), LIMITS)
    assert rate(control) == 80.0


def test_a_window_in_which_less_was_delivered_slows_nobody_while_the_queue_is_short() -> None:
    control = congested(8, tokens=40.0)
    control = step(control, window(8, rtt_s=0.2, tokens=40.0), LIMITS)
    held = rate(control)
    assert held > 40.0
    control = step(control, window(9, rtt_s=0.2, tokens=32.0), LIMITS)
    assert rate(control) == held
    control = step(control, window(10, rtt_s=0.2, tokens=10.0), LIMITS)
    assert rate(control) == 15.0
    control = step(control, window(11, rtt_s=0.6, tokens=10.0), LIMITS)
    assert rate(control) < 10.0


def test_one_slow_window_is_not_congestion() -> None:
    control = step(step(Control(), window(1), LIMITS), window(2, rtt_s=3.0), LIMITS)
    assert control.gate.state is PathState.CLEAR


def test_a_window_counts_once() -> None:
    control = step(Control(), window(1, rtt_s=1.0), LIMITS)
    assert step(control, window(1, rtt_s=9.0), LIMITS) == control


def test_a_clock_that_was_set_back_does_not_stop_the_law() -> None:
    control = step(Control(), window(1000), LIMITS)
    assert step(control, window(1), LIMITS).at_ms == 1000


def test_a_bad_link_slows_the_streams() -> None:
    assert rate(congested(12)) <= 10.0


def test_batches_come_before_the_rate() -> None:
    control = step(Control(), window(1), LIMITS)
    for second in (2, 3):
        control = step(control, window(second, rtt_s=0.8, tokens=40.0), LIMITS)
    assert control.congested
    assert control.batching.share == 1.0
    assert rate(control) == 80.0
    for second, rtt_s in ((4, 1.0), (5, 1.2)):
        control = step(control, window(second, rtt_s=rtt_s, tokens=40.0), LIMITS)
    assert rate(control) < 40.0


def test_a_queue_that_batches_keep_from_growing_slows_nobody() -> None:
    control = step(Control(), window(1), LIMITS)
    for second in range(2, 14):
        control = step(control, window(second, rtt_s=0.8, tokens=40.0), LIMITS)
        assert (rate(control), control.batching.share) == (80.0, 1.0 if second > 2 else 0.0)


def test_a_long_queue_that_batches_drain_slows_nobody_and_one_that_stands_does() -> None:
    for falls, slowed in ((0.85, False), (1.0, True)):
        control, rtt_s = step(Control(), window(1), LIMITS), 5.0
        for second in range(2, 8):
            control = step(control, window(second, rtt_s=rtt_s, tokens=40.0), LIMITS)
            rtt_s *= falls
        assert (rate(control) < 80.0) is slowed


def test_what_waits_in_the_gateway_is_the_streams_own_and_slows_them() -> None:
    control = step(Control(), window(1), LIMITS)
    for second in range(2, 8):
        control = step(control, window(second, rtt_s=0.5, tokens=40.0, unsent_s=0.3), LIMITS)
    assert rate(control) < 40.0


def test_an_outage_slows_nobody() -> None:
    control = step(Control(), window(1), LIMITS)
    for second in range(2, 8):
        control = step(control, window(second, rtt_s=None, tokens=0.0, unsent_s=60.0), LIMITS)
    assert control.congested
    assert rate(control) == 80.0


@settings(max_examples=30)
@given(queue_s=st.floats(0.6, 3.6), noise=st.lists(st.floats(-0.05, 0.05), min_size=60, max_size=60))
def test_streams_do_not_yield_for_long_to_a_queue_that_others_fill(queue_s: float, noise: list[float]) -> None:
    control, offered, rates = step(Control(), window(1), LIMITS), [40.0] * 8, list[float]()
    for second, extra in enumerate(noise, start=2):
        # Whatever the streams offer is delivered, once it is through the queue.
        delivered = offered[-1 - round(queue_s)]
        seen = window(second, rtt_s=queue_s * (1 + extra), tokens=delivered, size=50 * delivered)
        control = step(control, seen, LIMITS)
        rates.append(rate(control))
        offered.append(min(40.0, rate(control)))
    assert min(rates[30:]) >= 40.0


def test_a_route_that_gets_longer_beside_others_is_the_baseline_within_a_minute() -> None:
    control, clear = step(Control(), window(1), LIMITS), list[int]()
    for second in range(2, 100):
        offered = min(40.0, rate(control))
        control = step(control, window(second, rtt_s=2.5, tokens=offered, size=50 * offered), LIMITS)
        clear += [] if control.congested else [second]
    assert rate(control) == 80.0
    assert clear[1] <= 80


def test_the_path_is_clear_when_the_queue_is_gone() -> None:
    control = congested(10)
    for second in range(10, 14):
        control = step(control, window(second, tokens=10.0), LIMITS)
    assert rate(control) == 80.0


def test_leaving_takes_longer_each_time_that_it_did_not_last() -> None:
    control, second, patience = congested(8), 8, []
    for _ in range(3):
        while control.congested:
            control = step(control, window(second, tokens=10.0), LIMITS)
            second += 1
        patience.append(control.gate.patience)
        while not control.congested:
            control = step(control, window(second, rtt_s=1.0, tokens=10.0), LIMITS)
            second += 1
    assert patience == [3, 6, 12]


def test_windows_without_traffic_change_no_rate() -> None:
    control = congested(8)
    assert rate(step(control, window(8, rtt_s=None, tokens=0.0), LIMITS)) == rate(control)


def test_what_waits_in_the_gateway_is_a_queue_too() -> None:
    control = step(Control(), window(1), LIMITS)
    for second in (2, 3):
        control = step(control, window(second, rtt_s=None, tokens=0.0, unsent_s=5.0), LIMITS)
    assert control.congested


def test_loss_alone_slows_nobody() -> None:
    control = step(Control(), window(1), LIMITS)
    for second in range(2, 10):
        control = step(control, window(second, loss=0.1), LIMITS)
    assert rate(control) == 80.0


def test_loss_beside_a_queue_counts_once_a_window() -> None:
    calm, lossy = congested(8), congested(8)
    calm = step(calm, window(8, rtt_s=0.6, tokens=20.0), LIMITS)
    lossy = step(lossy, window(8, rtt_s=0.6, tokens=20.0, loss=0.1), LIMITS)
    assert lossy.total == pytest.approx(0.7 * calm.total)


def test_without_a_delivered_rate_the_gradient_lowers_it_slowly() -> None:
    control = congested(8)
    after = step(control, window(8, rtt_s=3.0, tokens=None, streams=0), LIMITS)
    assert after.total == pytest.approx(control.total * 0.975 + 0.25)


@pytest.mark.parametrize("target_s", [0.1, 0.5, 2.0, 10.0])
def test_the_gain_leaves_room_for_the_loops_own_delay(target_s: float) -> None:
    assert gain(target_s) * LOOP_DELAY_S / target_s <= 0.368


@given(
    windows=st.lists(
        st.tuples(
            st.none() | st.floats(0.0, 60.0),
            st.none() | st.floats(0.0, 1e5),
            st.integers(0, 50),
            st.none() | st.floats(0.0, 1.0),
            st.none() | st.floats(0.0, 60.0),
        ),
        max_size=60,
    )
)
def test_the_rate_is_never_outside_the_policy(
    windows: list[tuple[float | None, float | None, int, float | None, float | None]],
) -> None:
    control = Control()
    for second, (rtt, tokens, streams, loss, unsent) in enumerate(windows, start=1):
        seen = window(second, rtt_s=rtt, tokens=tokens, streams=streams, loss=loss, unsent_s=unsent)
        control = step(control, seen, LIMITS)
        assert 5.0 <= rate(control) <= 80.0


@dataclass
class FluidLink:
    """A link that carries ``capacity`` tokens per second, and the loop around it as it really is.

    Windows of one second, rounds of a quarter, and on top of both a delay before what was seen arrives.
    """

    capacity: float
    limits: Limits
    delay_s: float
    queue: float = 0.0
    rate: float = 80.0
    queues: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)

    def run(self, seconds: int) -> None:
        control, told, arriving = Control(), self.rate, []
        ticks = 20
        tokens = round_trips = 0.0
        least = float("inf")
        for tick in range(1, seconds * ticks + 1):
            capacity = self.capacity if tick > 10 * ticks else 1000.0
            waiting = self.queue + told / ticks
            moved = min(waiting, capacity / ticks)
            self.queue = waiting - moved
            tokens += moved
            round_trip = 0.001 + self.queue / capacity
            round_trips += round_trip
            least = min(least, round_trip)
            self.queues.append(self.queue / capacity)
            self.delivered.append(moved * ticks / capacity)
            if tick % ticks == 0:
                seen = window(tick // ticks, rtt_s=round_trips / ticks, least_s=least, tokens=tokens, size=50 * tokens)
                arriving.append((tick + self.delay_s * ticks, seen))
                tokens, round_trips, least = 0.0, 0.0, float("inf")
            if tick % (ticks // 4) == 0:
                while arriving and arriving[0][0] <= tick:
                    control = step(control, arriving.pop(0)[1], self.limits)
                wanted = control.total if control.congested else self.limits.most
                told = slewed(wanted, told, control=control, elapsed_s=0.25)
                told = min(max(told, self.limits.least), self.limits.most)


@settings(max_examples=15, deadline=None)
@given(
    capacity=st.floats(8.0, 60.0),
    target_s=st.floats(0.1, 10.0),
    delay_s=st.floats(0.0, 1.0),
)
def test_the_queue_settles_at_the_target(capacity: float, target_s: float, delay_s: float) -> None:
    limits = Limits(least=1.0, most=80.0, target_s=target_s, batch_delay_s=0.25, batch_size=16)
    link = FluidLink(capacity=capacity, limits=limits, delay_s=delay_s)
    link.run(500)
    late, used = link.queues[-200 * 20 :], link.delivered[-200 * 20 :]
    assert max(late) <= 2 * target_s + 0.1
    assert sum(used) / len(used) > 0.93


@settings(max_examples=8, deadline=None)
@given(capacity=st.floats(15.0, 60.0), target_s=st.floats(0.3, 5.0), delay_s=st.floats(1.0, 2.5))
def test_it_settles_at_longer_delays_in_longer_time(capacity: float, target_s: float, delay_s: float) -> None:
    limits = Limits(least=1.0, most=80.0, target_s=target_s, batch_delay_s=0.25, batch_size=16)
    assert gain(target_s) * (LOOP_DELAY_S + delay_s) / target_s < 1.571
    link = FluidLink(capacity=capacity, limits=limits, delay_s=delay_s)
    link.run(900)
    late, used = link.queues[-200 * 20 :], link.delivered[-200 * 20 :]
    assert max(late) <= 2.5 * target_s
    assert sum(used) / len(used) > 0.9


def test_a_longer_way_is_no_queue_for_ever() -> None:
    control = Control()
    for second in range(1, 10):
        control = step(control, window(second, rtt_s=0.05, tokens=40.0), LIMITS)
    offered, seconds = 40.0, []
    for second in range(10, 80):
        control = step(control, window(second, rtt_s=0.65, tokens=offered), LIMITS)
        offered = min(40.0, rate(control))
        seconds += [second] if control.congested else []
    assert seconds[0] == 11
    assert seconds[-1] <= 45
    assert rate(control) == 80.0


def test_a_queue_that_drains_during_a_rest_is_no_way() -> None:
    control, rtt_s, offered = step(Control(), window(1), LIMITS), 0.55, 40.0
    for second in range(2, 60):
        control = step(control, window(second, rtt_s=rtt_s, tokens=offered), LIMITS)
        if control.probing.probe is not None:
            rtt_s, offered = rtt_s * 0.85, control.probing.probe.total
        assert control.baseline.least_us == 500.0


def test_the_little_that_a_rest_leaves_is_no_longer_way() -> None:
    control, probed = step(Control(), window(1), LIMITS), 0
    for second in range(2, 60):
        resting = control.probing.probe is not None
        probed += resting
        seen = window(second, rtt_s=0.1, tokens=20.0) if resting else window(second, rtt_s=0.8, tokens=40.0)
        control = step(control, seen, LIMITS)
        assert control.baseline.least_us == 500.0
    assert probed


def test_a_link_that_even_the_least_rate_overloads_stays_congested() -> None:
    control = step(Control(), window(1), LIMITS)
    for second in range(2, 300):
        control = step(control, window(second, rtt_s=3.0, tokens=2.0, unsent_s=10.0), LIMITS)
        assert control.congested or second < 4
    assert rate(control) == 5.0


def test_a_path_whose_queue_is_short_is_not_probed() -> None:
    control = congested(8, tokens=40.0)
    for second in range(8, 60):
        control = step(control, window(second, rtt_s=0.2, tokens=40.0), LIMITS)
        assert control.probing.probe is None
