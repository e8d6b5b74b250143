"""Laws that hold whatever happens to the GPUs of a node."""

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agent.clock import Clock
from tests.agent.gpu.support import H100, Node
from tokenflow_agent.errors import ProbeError
from tokenflow_agent.gpu.session import RETRY_S, Session

WELL = (f"gpu {H100}", f"gpu {H100.replace('GPU-a', 'GPU-b')}")
PARTED = (f"gpu {H100.replace('mig=0', 'mig=1')}", "mig gpu=0 uuid=MIG-1 instance=3 occupancy=9", WELL[1])
STEPS = {
    "well": WELL,
    "parted": PARTED,
    "first lost": (f"{WELL[0]} lost=1", WELL[1]),
    "both lost": (f"{WELL[0]} lost=1", f"{WELL[1]} lost=1"),
    "second gone": WELL[:1],
    "first gone": WELL[1:],
    "none": (),
    "unloaded": ("driver loaded=0", *WELL),
    "loaded anew": ("driver generation=2", *WELL),
    "no temperature": (*WELL, "fail call=nvmlDeviceGetTemperature code=999"),
    "reset required": (*WELL, "fail call=nvmlDeviceGetMemoryInfo code=16"),
    "no events": (*WELL, "fail call=nvmlEventSetWait_v2 code=999"),
    "no counters": (*WELL, "fail call=nvmlGpmSampleGet code=999"),
    "lost between": (*WELL, "fail call=nvmlGpmMetricsGet code=15"),
    "lost at once": (*WELL, "fail call=nvmlGpmSampleGet code=15"),
}

fixtures_stay = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Stub = Callable[..., str]


def outcome(session: Session) -> list[str]:
    try:
        return session.read().samples.uuid
    except ProbeError:
        return []


@fixtures_stay
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from([1.0, RETRY_S])), max_size=12))
def test_whatever_happened_a_node_that_is_well_is_read_again(
    node: Node, stub: Stub, steps: list[tuple[str, float]]
) -> None:
    calls = ("nvmlGpmSampleAlloc", "nvmlGpmSampleFree", "nvmlEventSetCreate", "nvmlEventSetFree")
    before = [node.calls(call) for call in calls]
    session = Session(node.pods(), proc=node.proc, names=lambda: [stub()], clock=node.clock)
    try:
        for step, pause in steps:
            node.set(*STEPS[step])
            outcome(session)
            node.clock.now += pause
        node.set(*WELL)
        outcome(session)
        node.clock.now += RETRY_S
        assert outcome(session) == ["GPU-a", "GPU-b"]
        assert session.read().samples.sm_occupancy_percent == [42, 42]
    finally:
        session.close()
    allocated, freed, created, closed = (node.calls(call) - count for call, count in zip(calls, before, strict=True))
    assert (allocated, created) == (freed, closed)


FIELDS = {
    "utilization": "utilization_percent",
    "temperature": "temperature_celsius",
    "power": "power_milliwatts",
    "limit": "power_limit_milliwatts",
    "clock": "sm_clock_mhz",
    "ecc": "ecc_errors",
}
values = st.dictionaries(st.sampled_from(sorted(FIELDS)), st.integers(0, 100))


@fixtures_stay
@given(st.lists(values, min_size=1, max_size=8))
def test_each_value_is_what_the_driver_says_or_unknown(node: Node, stub: Stub, gpus: list[dict[str, int]]) -> None:
    node.set(
        *(
            f"gpu uuid=GPU-{number} " + " ".join(f"{name}={value}" for name, value in gpu.items())
            for number, gpu in enumerate(gpus)
        )
    )
    session = Session(node.pods(), proc=node.proc, names=lambda: [stub()], clock=Clock())
    try:
        samples = session.read().samples
    finally:
        session.close()
    for name, column in FIELDS.items():
        assert getattr(samples, column) == [gpu.get(name) for gpu in gpus]
    assert samples.sm_occupancy_percent == [None] * len(gpus)
