"""What the last windows say of each pod."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.commands.rows import rows
from tests.agent.commands.support import batch
from tokenflow_agent.commands.pods import PodRow, percentile, pods


def only(*batches: Any) -> PodRow:
    (row,) = pods(list(batches))
    return row


def test_round_trip_times_are_weighted_by_their_samples() -> None:
    many = {"samples": 99, "rtt_p50_us": 100, "rtt_p95_us": 200}
    few = {"samples": 1, "rtt_p50_us": 9000, "rtt_p95_us": 9999}
    row = only(batch(1, tcp=rows("tcp", many, few)))
    assert (row.rtt_p50_us, row.rtt_p95_us) == (100, 200)


def test_what_a_backend_cannot_tell_is_unknown() -> None:
    row = only(batch(1, tcp=rows("tcp", {"samples": 5, "rtt_p50_us": None, "rtt_p95_us": None})))
    assert (row.rtt_p50_us, row.rtt_p95_us, row.retransmits_per_second) == (None, None, 0.0)
    assert (row.backlog, row.http_p95_us, row.error_ratio, row.gpu_memory_bytes) == (None, None, None, None)


def test_retransmits_are_per_second_of_all_windows() -> None:
    seen = [batch(n, tcp=rows("tcp", {"retransmits": 6}), window_ms=2000) for n in (1, 2)]
    assert only(*seen).retransmits_per_second == 3.0


def test_the_fullest_queue_counts() -> None:
    ports = [{"backlog": 90, "backlog_limit": 4096}, {"backlog": 7, "backlog_limit": 8}, {"backlog_limit": 0}]
    row = only(batch(1, listen=rows("listen", *ports)), batch(2, listen=rows("listen", ports[0])))
    assert (row.backlog, row.backlog_limit, row.backlog_ratio) == (7, 8, 0.875)


def test_errors_are_those_of_the_server() -> None:
    outcomes = [
        {"status": "2xx", "requests": 12},
        {"status": "~other", "protocol": "HTTP2", "requests": 1},
        {"status": "NOT_FOUND", "protocol": "GRPC", "requests": 1},
        {"status": "4xx", "requests": 1},
        {"status": "5xx", "requests": 2},
        {"status": "aborted", "requests": 1},
        {"status": "OK", "protocol": "GRPC", "requests": 1},
        {"status": "UNAVAILABLE", "protocol": "GRPC", "requests": 1},
        {"status": "5xx", "direction": "Dialed", "requests": 80},
    ]
    assert only(batch(1, http=rows("http", *outcomes))).error_ratio == pytest.approx(0.2)


def test_gpus_come_from_their_last_reading() -> None:
    gpu = {"gpu": rows("gpu", {"uuid": "a", "utilization_percent": 10}, {"uuid": "b", "utilization_percent": 90})}
    processes = rows("gpu_processes", *({"uuid": uuid, "memory_used_bytes": 5} for uuid in "ab"))
    older = rows("gpu_processes", {"uuid": "a", "memory_used_bytes": 999})
    row = only(batch(1, **gpu, gpu_processes=older), batch(2, **gpu, gpu_processes=processes), batch(3))
    assert (row.gpu_memory_bytes, row.gpu_utilization_percent) == (10, 90)


def test_a_gpu_that_does_not_tell_its_use() -> None:
    gpu = rows("gpu", {"uuid": "a", "utilization_percent": None})
    row = only(batch(1, gpu=gpu, gpu_processes=rows("gpu_processes", {"uuid": "a", "memory_used_bytes": 5})))
    assert (row.gpu_memory_bytes, row.gpu_utilization_percent) == (5, None)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50)), max_size=8), st.integers(1, 100))
def test_a_percentile_is_that_of_the_values_spelt_out(weighted: list[tuple[int, int]], percent: int) -> None:
    spelt = sorted(value for value, weight in weighted for _ in range(weight))
    rank = -(-len(spelt) * percent // 100)
    assert percentile(weighted, percent) == (spelt[rank - 1] if spelt else None)
