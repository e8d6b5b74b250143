"""Readings of a stub of NVML, whose node changes between them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.gpu.support import H100, Node
from tokenflow_agent.errors import NvmlError
from tokenflow_agent.gpu.session import RETRY_S, Session
from tokenflow_api.windows import GpuSamples

PARTED = H100.replace("mig=0", "mig=1")

Make = Callable[..., Session]
Stub = Callable[..., str]


def test_a_gpu_tells_everything_that_it_can(node: Node, session: Make) -> None:
    node.set(f"gpu {H100}")
    reading = session().read()
    seen = reading.samples.model_dump()
    assert seen.pop("at_unix_ms")[0] > 1_700_000_000_000
    assert seen == {
        "uuid": ["GPU-a"],
        "parent_uuid": [""],
        "index": [0],
        "model": ["H100"],
        "utilization_percent": [87],
        "memory_used_bytes": [1000],
        "memory_total_bytes": [8000],
        "temperature_celsius": [61],
        "power_milliwatts": [350_000],
        "power_limit_milliwatts": [700_000],
        "sm_clock_mhz": [1755],
        "throttle_reasons": [""],
        "sm_occupancy_percent": [None],
        "ecc_errors": [2],
        "xid_errors": [0],
    }
    assert (reading.lost, reading.unread) == ((), ())


def test_what_a_gpu_cannot_tell_is_unknown_and_never_0(node: Node, session: Make) -> None:
    node.set("gpu uuid=GPU-a events=0")
    reading = session().read()
    seen = reading.samples.model_dump(exclude={"at_unix_ms"})
    told = {name: column[0] for name, column in seen.items() if column[0] is not None}
    assert told == {"uuid": "GPU-a", "parent_uuid": "", "index": 0, "model": "", "throttle_reasons": ""}
    assert (reading.lost, reading.unread) == ((), ())


@pytest.mark.parametrize("count", [1, 3, 8])
def test_every_gpu_is_a_row(node: Node, session: Make, count: int) -> None:
    node.set(*(f"gpu uuid=GPU-{number} utilization={number}" for number in range(count)))
    samples = session().read().samples
    assert samples.index == list(range(count))
    assert samples.utilization_percent == list(range(count))


def test_occupancy_is_told_from_the_second_reading_on(node: Node, session: Make) -> None:
    node.set(f"gpu {H100}", "gpu uuid=GPU-b gpm=0 occupancy=10")
    reader = session()
    assert reader.read().samples.sm_occupancy_percent == [None, None]
    assert reader.read().samples.sm_occupancy_percent == [42, None]


def test_throttling_is_told_by_name(node: Node, session: Make) -> None:
    node.set("gpu uuid=GPU-a reasons=0x44", "gpu uuid=GPU-b reasons=0x1")
    assert session().read().samples.throttle_reasons == ["SwPowerCap,HwThermalSlowdown", ""]


def test_xid_errors_are_counted_since_the_start(node: Node, session: Make) -> None:
    node.set("gpu uuid=GPU-a xids=5", "gpu uuid=GPU-b")
    reader = session()
    assert reader.read().samples.xid_errors == [0, 0]
    node.set("gpu uuid=GPU-a xids=7", "gpu uuid=GPU-b xids=1")
    assert reader.read().samples.xid_errors == [2, 1]
    assert reader.read().samples.xid_errors == [2, 1]
    reader.close()
    assert reader.read().samples.xid_errors == [2, 1]


def test_instances_of_a_gpu_are_rows_of_their_own(node: Node, session: Make) -> None:
    node.set(
        f"gpu {PARTED}",
        "mig gpu=0 uuid=MIG-1 name=1g instance=7 used=10 total=100 occupancy=20",
        "mig gpu=0 uuid=MIG-2 name=2g instance=9 used=20 total=200 occupancy=30",
        "gpu uuid=GPU-b",
    )
    reader = session()
    reader.read()
    samples = reader.read().samples
    assert samples.uuid == ["GPU-a", "MIG-1", "MIG-2", "GPU-b"]
    assert samples.parent_uuid == ["", "GPU-a", "GPU-a", ""]
    assert samples.index == [0, 0, 1, 1]
    assert samples.model == ["H100", "1g", "2g", ""]
    assert samples.memory_used_bytes == [1000, 10, 20, None]
    assert samples.sm_occupancy_percent == [None, 20, 30, None]
    assert samples.temperature_celsius == [61, None, None, None]


def test_an_instance_that_is_taken_apart_leaves_nothing_behind(node: Node, session: Make) -> None:
    node.set(f"gpu {PARTED}", "mig gpu=0 uuid=MIG-1 instance=7")
    reader = session()
    reader.read()
    node.set(f"gpu {PARTED}")
    assert reader.read().samples.uuid == ["GPU-a"]
    assert node.calls("nvmlGpmSampleAlloc") == node.calls("nvmlGpmSampleFree") == 1


def test_memory_is_told_by_pod(node: Node, session: Make) -> None:
    node.run(11, namespace="llm", pod="llama-0", uid="a" * 32)
    node.run(12, namespace="llm", pod="llama-0", uid="a" * 32)
    node.run(13, namespace="llm", pod="embed-0", uid="b" * 32)
    (node.proc / "14").mkdir()
    (node.proc / "14" / "cgroup").write_text("0::/system.slice/containerd.service\n")
    node.set(
        "gpu uuid=GPU-a",
        "gpu uuid=GPU-b mig=1",
        "mig gpu=1 uuid=MIG-1 instance=7",
        "process gpu=0 pid=11 memory=100 kind=compute",
        "process gpu=0 pid=11 memory=100 kind=graphics",
        "process gpu=0 pid=12 memory=20 kind=mps",
        "process gpu=0 pid=13 memory=-1 kind=compute",
        "process gpu=0 pid=14 memory=7 kind=compute",
        "process gpu=0 pid=99 memory=7 kind=compute",
        "process gpu=1 mig=0 pid=13 memory=5 kind=compute",
        "process gpu=1 pid=13 memory=5 kind=compute",
    )
    assert session().read().processes.model_dump() == {
        "uuid": ["GPU-a", "MIG-1"],
        "pod_namespace": ["llm", "llm"],
        "pod_name": ["llama-0", "embed-0"],
        "pod_uid": ["a" * 32, "b" * 32],
        "memory_used_bytes": [120, 5],
    }


def test_a_lost_gpu_is_named_and_the_others_go_on(node: Node, session: Make) -> None:
    node.set("gpu uuid=GPU-a", "gpu uuid=GPU-b temperature=50")
    reader = session()
    reader.read()
    node.set("gpu uuid=GPU-a lost=1", "gpu uuid=GPU-b temperature=51")
    reading = reader.read()
    assert reading.samples.temperature_celsius == [51]
    [fault] = reading.lost
    assert fault.reason == "GPULost"
    assert fault.message.startswith("GPU 0 (GPU-a): nvmlDeviceGetHandleByIndex: GPU is lost: look for Xid in dmesg")


def test_a_gpu_that_went_is_missed_until_it_is_back(node: Node, session: Make) -> None:
    both = ("gpu uuid=GPU-a", "gpu uuid=GPU-b")
    node.set(*both)
    reader = session()
    reader.read()
    node.set("gpu uuid=GPU-a lost=1", "gpu uuid=GPU-b")
    assert len(reader.read().lost) == 1
    node.set("gpu uuid=GPU-b")
    node.clock.now = RETRY_S
    reading = reader.read()
    assert reading.samples.uuid == ["GPU-b"]
    assert [fault.message.partition(":")[0] for fault in reading.lost] == ["GPU 0 (GPU-a) is gone"]
    node.set(*both)
    node.clock.now = 2 * RETRY_S
    reading = reader.read()
    assert reading.samples.uuid == ["GPU-a", "GPU-b"]
    assert reading.lost == ()


def test_nvml_stays_open_while_all_is_well(node: Node, session: Make) -> None:
    node.set(f"gpu {H100}")
    reader = session()
    for _ in range(5):
        reader.read()
        node.clock.now += RETRY_S
    assert node.calls("nvmlInitWithFlags") == 1
    assert node.calls("nvmlEventSetCreate") == 1
    assert node.calls("nvmlGpmSampleAlloc") - node.calls("nvmlGpmSampleFree") == 1
    reader.close()
    assert node.calls("nvmlShutdown") == 1
    assert node.calls("nvmlEventSetFree") == 1
    assert node.calls("nvmlGpmSampleAlloc") == node.calls("nvmlGpmSampleFree")


def test_a_driver_that_is_loaded_anew_is_met_again(node: Node, session: Make) -> None:
    node.set(f"gpu {H100}")
    reader = session()
    reader.read()
    node.set("driver loaded=0")
    with pytest.raises(NvmlError, match="Driver Not Loaded") as refused:
        reader.read()
    assert refused.value.reason == "NVMLDriverNotLoaded"
    node.set("driver generation=2", f"gpu {H100}")
    with pytest.raises(NvmlError, match="Driver Not Loaded"):
        reader.read()
    node.clock.now = RETRY_S
    assert reader.read().samples.uuid == ["GPU-a"]
    node.set("driver generation=3", f"gpu {H100}")
    with pytest.raises(NvmlError) as refused:
        reader.read()
    assert refused.value.reason == "NVMLUninitialized"
    node.clock.now = 2 * RETRY_S
    assert reader.read().samples.uuid == ["GPU-a"]


def test_an_upgraded_driver_is_read_through_its_own_library(node: Node, session: Make, stub: Stub) -> None:
    node.set("driver version=550", "gpu uuid=GPU-a")
    old, new = stub("VERSION=550"), stub("VERSION=560")
    reader = session(old, new)
    assert reader.read().samples.uuid == ["GPU-a"]
    node.set("driver version=560 generation=2", "gpu uuid=GPU-a")
    with pytest.raises(NvmlError):
        reader.read()
    node.clock.now = RETRY_S
    assert reader.read().samples.uuid == ["GPU-a"]


def test_once_it_was_let_go_of_it_is_read_without_a_pause(node: Node, session: Make) -> None:
    node.set(f"gpu {H100}", "gpu uuid=GPU-b")
    reader = session()
    reader.read()
    node.set(f"gpu {H100}", "gpu uuid=GPU-b lost=1")
    assert len(reader.read().lost) == 1
    reader.close()
    node.set(f"gpu {H100}", "gpu uuid=GPU-b")
    assert reader.read().samples.uuid == ["GPU-a", "GPU-b"]
    assert reader.restarts == 0


def test_looks_for_gpus_are_restarts_only_where_there_were_any(node: Node, session: Make) -> None:
    reader = session()

    def looks() -> None:
        for _ in range(3):
            with pytest.raises(NvmlError):
                reader.read()
            node.clock.now += RETRY_S

    looks()
    node.set(f"gpu {H100}")
    reader.read()
    assert reader.restarts == 0
    node.set()
    looks()
    assert reader.restarts == 2


def test_a_library_of_another_version_alone_says_what_to_do(node: Node, session: Make, stub: Stub) -> None:
    node.set("driver version=560", "gpu uuid=GPU-a")
    with pytest.raises(NvmlError, match="restart the agent's pod") as refused:
        session(stub("VERSION=550")).read()
    assert refused.value.reason == "NVMLLibRmVersionMismatch"


def test_a_node_without_the_library_is_looked_at_again(node: Node, session: Make, stub: Stub, tmp_path: Path) -> None:
    node.set("gpu uuid=GPU-a")
    library = tmp_path / "libnvidia-ml.so.1"
    reader = session(str(library))
    with pytest.raises(NvmlError) as refused:
        reader.read()
    assert refused.value.reason == "NVMLLibraryNotFound"
    library.symlink_to(stub())
    node.clock.now = RETRY_S
    assert reader.read().samples.uuid == ["GPU-a"]


def test_a_driver_without_gpus_is_let_go_of(node: Node, session: Make) -> None:
    with pytest.raises(NvmlError) as refused:
        session().read()
    assert refused.value.reason == "NoGPU"
    assert node.calls("nvmlShutdown") == 1


def test_devices_that_the_container_lacks_are_told(node: Node, session: Make) -> None:
    node.set("driver loaded=0")
    (node.proc / "driver" / "nvidia").mkdir(parents=True)
    (node.proc / "driver" / "nvidia" / "version").touch()
    with pytest.raises(NvmlError, match=r"spec\.security: Privileged") as refused:
        session().read()
    assert refused.value.reason == "NVMLNoDevice"


def known(samples: GpuSamples) -> set[str]:
    return {name for name, column in samples.model_dump().items() if column[0] not in (None, "")}


ALWAYS = {"at_unix_ms", "uuid", "index", "model", "memory_used_bytes", "memory_total_bytes", "utilization_percent"} | {
    "temperature_celsius",
    "power_milliwatts",
    "power_limit_milliwatts",
    "sm_clock_mhz",
    "ecc_errors",
}


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ("WITHOUT_GPM", {"xid_errors", "throttle_reasons"}),
        ("WITHOUT_EVENTS", {"sm_occupancy_percent", "throttle_reasons"}),
        ("WITHOUT_MIG", {"sm_occupancy_percent", "xid_errors", "throttle_reasons"}),
        ("WITHOUT_PROCESSES", {"sm_occupancy_percent", "xid_errors", "throttle_reasons"}),
        ("WITHOUT_EVENT_REASONS", {"sm_occupancy_percent", "xid_errors", "throttle_reasons"}),
    ],
)
def test_an_older_driver_lacks_only_what_it_lacks(
    node: Node, session: Make, stub: Stub, missing: str, left: set[str]
) -> None:
    node.set(f"gpu {H100.replace('reasons=0', 'reasons=8')}")
    reader = session(stub(missing))
    reader.read()
    reading = reader.read()
    assert known(reading.samples) == ALWAYS | left
    assert (reading.lost, reading.unread) == ((), ())


@pytest.mark.parametrize(
    ("call", "column"),
    [
        ("nvmlDeviceGetMemoryInfo", "memory_used_bytes"),
        ("nvmlDeviceGetTemperature", "temperature_celsius"),
        ("nvmlGpmSampleGet", "sm_occupancy_percent"),
        ("nvmlGpmMetricsGet", "sm_occupancy_percent"),
        ("nvmlDeviceRegisterEvents", "xid_errors"),
    ],
)
def test_a_value_that_is_refused_is_told_and_takes_nothing_with_it(
    node: Node, session: Make, call: str, column: str
) -> None:
    node.set(f"gpu {H100}", f"fail call={call} code=4")
    reader = session()
    first = reader.read()
    second = reader.read()
    told = first.unread + second.unread
    assert {(fault.reason, fault.message) for fault in told} == {
        ("NVMLNoPermission", f"{call}: Insufficient Permissions: set spec.security: Privileged")
    }
    assert getattr(second.samples, column) == [None]
    assert second.samples.utilization_percent == [87]


def test_a_gpu_without_a_uuid_is_lost(node: Node, session: Make) -> None:
    node.set("gpu uuid=GPU-a", "fail call=nvmlDeviceGetUUID code=999")
    reading = session().read()
    assert len(reading.samples) == 0
    assert [fault.reason for fault in reading.lost] == ["NVMLUnknown"]
    assert reading.lost[0].message.startswith("GPU 0: nvmlDeviceGetUUID: Unknown Error")
