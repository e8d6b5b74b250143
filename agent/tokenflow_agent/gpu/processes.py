"""What pods hold of a GPU's memory, from the processes that NVML tells."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tokenflow_agent.gpu.nvml import Nvml
from tokenflow_agent.identity import Pod, Pods
from tokenflow_agent.identity.paths import place_of_process
from tokenflow_api.windows import GpuProcesses

# A process may use a GPU in several of these ways, and is then told with the same memory in each.
_CALLS: Final = (
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
)


def memory_by_pid(nvml: Nvml, device: object) -> dict[int, int]:
    """Return the bytes that each process holds of a GPU or MIG instance."""
    held: dict[int, int] = {}
    for call in _CALLS:
        for process in nvml.value(call, device) or ():
            if process.usedGpuMemory is not None:
                held[process.pid] = max(held.get(process.pid, 0), process.usedGpuMemory)
    return held


def pods_of(pids: Iterable[int], *, proc: Path, pods: Pods) -> dict[int, Pod]:
    """Return the pods of those processes that belong to pods.

    Args:
        pids: as the host sees them.
        proc: the host's /proc.
        pods: names them.
    """
    places = {pid: place_of_process(pid, proc=proc) for pid in pids}
    return {pid: pod for pid, place in places.items() if place and (pod := pods.named(place.pod_uid))}


def table(held: Mapping[str, Mapping[int, int]], pods: Mapping[int, Pod]) -> GpuProcesses:
    """Return the memory of pods by GPU.

    Args:
        held: bytes by process, by the UUID of the GPU or MIG instance.
        pods: by process; processes without one are left out.
    """
    sums: Counter[tuple[str, Pod]] = Counter()
    for uuid, processes in held.items():
        for pid, memory in processes.items():
            if pid in pods:
                sums[uuid, pods[pid]] += memory
    return GpuProcesses(
        uuid=[uuid for uuid, _ in sums],
        pod_namespace=[pod.namespace for _, pod in sums],
        pod_name=[pod.name for _, pod in sums],
        pod_uid=[pod.uid for _, pod in sums],
        memory_used_bytes=list(sums.values()),
    )
