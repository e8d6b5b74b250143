from tokenflow_agent.cost import CostMeter, resident_bytes
from tokenflow_agent.delivery.state import Circuit, DeliveryState, DestinationState, SpoolState
from tokenflow_agent.sources import Findings


def delivery(*, dropped: int) -> DeliveryState:
    state = DestinationState(
        policy="p",
        url="",
        circuit=Circuit.CLOSED,
        message="",
        waiting=1,
        lag_ms=1500,
        outcomes={},
        dropped={"SpoolFull": dropped},
    )
    return DeliveryState(SpoolState(disk_bytes=100, memory_bytes=20), (state,))


def test_a_window_costs_what_passed_within_it() -> None:
    cpu_ns = iter([0, 5_000_000, 6_000_000])
    meter = CostMeter(cpu_ns=lambda: next(cpu_ns))
    found = [
        Findings(events=10, lost={"a": 1, "b": 2}, map_usage_percent={"x": 12.4}, bpf_ns=2_000_000),
        Findings(events=5, map_usage_percent={"y": 99.7}, bpf_ns=1_000_000),
    ]
    first = meter.take(found, delivery(dropped=4))
    assert (first.cpu_us, first.bpf_us, first.events, first.lost) == (5000, 3000, 15, 3)
    assert (first.map_usage_percent, first.spool_bytes, first.send_lag_ms) == (100, 120, 1500)
    second = meter.take([], delivery(dropped=6))
    assert (second.cpu_us, second.spool_dropped) == (1000, 2)
    assert (second.events, second.map_usage_percent) == (0, 0)


def test_a_policy_that_leaves_takes_its_drops_along() -> None:
    meter = CostMeter()
    meter.take([], delivery(dropped=4))
    assert meter.take([], DeliveryState()).spool_dropped == 0


def test_the_memory_is_that_of_this_process() -> None:
    assert 5_000_000 < resident_bytes() < 1_000_000_000
