"""What a policy says of each tenant."""

import pytest

from tests.hintsvc.support import runtime
from tokenflow_api.quotas.limits import Limits, Rate


def limits(*tenants: dict[str, object], capacity: int = 100) -> list[Limits]:
    gateway = {"upstreams": [{"name": "a", "url": "http://a", "maxConcurrentRequests": capacity}]}
    spec = runtime(tenants=list(tenants), gateway=gateway).spec
    return [Limits.of(tenant, spec) for tenant in spec.tenants]


@pytest.mark.parametrize(
    ("input_tokens", "max_tokens", "reserved"),
    [(0, 100, 100), (50, 100, 150), (0, 0, 8192), (0, 8192, 8192), (100_000, 8192, 20_000)],
)
def test_a_request_reserves_its_prompt_and_its_longest_completion(
    input_tokens: int, max_tokens: int, reserved: int
) -> None:
    (gold,) = limits({"name": "gold"})
    assert gold.reserve(input_tokens=input_tokens, max_tokens=max_tokens) == reserved


def test_no_request_reserves_more_than_half_of_a_minute() -> None:
    (gold,) = limits({"name": "gold", "tokensPerMinute": 1000})
    assert gold.reserve(input_tokens=0, max_tokens=8192) == 500
    (tiny,) = limits({"name": "gold", "tokensPerMinute": 1})
    assert tiny.reserve(input_tokens=0, max_tokens=8192) == 1


def test_lower_priorities_leave_streams_free() -> None:
    high, middle, low = limits(
        {"name": "high", "priority": 300}, {"name": "middle", "priority": 200}, {"name": "low", "priority": 100}
    )
    assert (high.all_streams, middle.all_streams, low.all_streams) == (100, 90, 80)


def test_equals_may_fill_everything() -> None:
    assert [one.all_streams for one in limits({"name": "a"}, {"name": "b"})] == [100, 100]


def test_all_leases_together_are_a_hundredth_of_the_limit() -> None:
    rate = Rate(per_minute=60_000, burst=1000)
    assert rate.lease(3) == 200
    assert Rate(per_minute=299, burst=299).lease(3) == 0
