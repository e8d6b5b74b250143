"""Figures of GPUs, under the names that users of other exporters know them by."""

from collections.abc import Iterator
from typing import Final

from tokenflow_agent.export.model import Family, Labels, Point, counter, gauge
from tokenflow_agent.export.series import Last, Node, SeriesTable, total
from tokenflow_api.windows import GpuSamples

MAX_SERIES: Final = 128
MAX_POD_SERIES: Final = 1024
_GPU: Final = {"gpu": "index", "uuid": "uuid", "parent": "parent_uuid", "model": "model"}
_THROTTLED: Final = gauge("gpu_throttled", "1 for each reason that holds the GPU's clock down.")


def gpus(node: Node) -> SeriesTable:
    """Return the series of ``GpuSamples``."""
    return SeriesTable(
        labels=_GPU,
        most=MAX_SERIES,
        node=node,
        gauges=[
            Last(metric=gauge("gpu_utilization_percent", "Use of the GPU."), column="utilization_percent"),
            Last(
                metric=gauge("gpu_sm_occupancy_percent", "Warps in flight over the most there can be."),
                column="sm_occupancy_percent",
            ),
            Last(metric=gauge("gpu_memory_used_bytes", "GPU memory in use."), column="memory_used_bytes"),
            Last(metric=gauge("gpu_memory_total_bytes", "GPU memory there is."), column="memory_total_bytes"),
            Last(metric=gauge("gpu_temperature_celsius", "Temperature of the GPU."), column="temperature_celsius"),
            Last(metric=gauge("gpu_power_watts", "Power draw."), column="power_milliwatts", scale=0.001),
            Last(metric=gauge("gpu_power_limit_watts", "Power limit."), column="power_limit_milliwatts", scale=0.001),
            Last(metric=gauge("gpu_sm_clock_mhz", "Clock of the multiprocessors."), column="sm_clock_mhz"),
            Last(
                metric=counter("gpu_ecc_errors", "Uncorrected memory errors since the driver was loaded."),
                column="ecc_errors",
            ),
            Last(
                metric=counter("gpu_xid_errors", "Errors that the driver told since the agent started."),
                column="xid_errors",
            ),
        ],
    )


def pods_memory(node: Node) -> SeriesTable:
    """Return the series of ``GpuProcesses``."""
    return SeriesTable(
        labels={"uuid": "uuid", "namespace": "pod_namespace", "pod": "pod_name"},
        most=MAX_POD_SERIES,
        node=node,
        gauges=[
            Last(
                metric=gauge("gpu_pod_memory_used_bytes", "GPU memory that a pod's processes hold."),
                column="memory_used_bytes",
                merge=total,
            )
        ],
    )


def throttled(samples: GpuSamples) -> Family:
    """Return why each GPU of ``samples`` is held back."""
    return _THROTTLED, _reasons(samples)


def _reasons(samples: GpuSamples) -> Iterator[Point]:
    for row in range(len(samples)):
        gpu = [getattr(samples, column)[row] for column in _GPU.values()]
        for reason in filter(None, samples.throttle_reasons[row].split(",")):
            yield Point(Labels((*_GPU, "reason"), (*gpu, reason)), 1)
