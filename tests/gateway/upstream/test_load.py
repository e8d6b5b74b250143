"""What engines say of themselves in Prometheus' text format."""

import pytest

from tokenflow_gateway.upstream.load import EngineLoad, parse_load

VLLM = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="llama"} 8.0
vllm:num_requests_running{engine="1",model_name="llama"} 4.0
vllm:num_requests_waiting{engine="0",model_name="llama"} 3.0
vllm:num_requests_waiting{engine="1",model_name="llama"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0
vllm:kv_cache_usage_perc{engine="0",model_name="llama"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="llama"} 0.75
vllm:time_to_first_token_seconds_bucket{le="0.001",model_name="llama"} 7.0
"""
SGLANG = b"""\
sglang:num_running_reqs{model_name="llama"} 2
sglang:num_queue_reqs{model_name="llama"} 5 1763749999000
sglang:token_usage{model_name="llama"} 0.28
"""


def test_engines_of_one_vllm_are_taken_together() -> None:
    assert parse_load(VLLM) == EngineLoad(waiting=3.0, running=12.0, kv_cache=0.75)


def test_sglang_says_the_same_by_other_names() -> None:
    assert parse_load(SGLANG) == EngineLoad(waiting=5.0, running=2.0, kv_cache=0.28)


def test_older_vllm_has_another_name_for_its_cache() -> None:
    assert parse_load(b"vllm:gpu_cache_usage_perc 0.5\n") == EngineLoad(kv_cache=0.5)


def test_a_label_may_hold_anything() -> None:
    assert parse_load(b'vllm:num_requests_waiting{model_name="a} 7 \\" {b"} 2\n') == EngineLoad(waiting=2.0)


@pytest.mark.parametrize(
    "exposition",
    [
        b"",
        b"no metrics\n",
        b"<html>\xff\xfe</html>",
        b"vllm:num_requests_waiting NaN\n",
        b"vllm:num_requests_waiting -1\n",
        b"vllm:num_requests_waiting +Inf\n",
        b"vllm:num_requests_waiting many\n",
        b"vllm:num_requests_waiting\n7\n",
        b"other_vllm:num_requests_waiting 7\n",
    ],
)
def test_what_says_nothing_is_not_known(exposition: bytes) -> None:
    assert parse_load(exposition) == EngineLoad()
