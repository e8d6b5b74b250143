import pytest

from tokenflow_api.quota import Limit
from tokenflow_api.quotas.headers import duration, ratelimit_headers


@pytest.mark.parametrize(
    ("ms", "written"),
    [
        (0, "0ms"),
        (20, "20ms"),
        (999, "999ms"),
        (1000, "1s"),
        (1001, "2s"),
        (59_001, "1m0s"),
        (60_000, "1m0s"),
        (90_000, "1m30s"),
        (360_000, "6m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(ms: int, written: str) -> None:
    assert duration(ms) == written


def test_both_limits_have_their_headers() -> None:
    headers = ratelimit_headers(
        requests=Limit(limit=60, remaining=59, reset_ms=1000), tokens=Limit(limit=150_000, remaining=7, reset_ms=20)
    )
    assert headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "7",
        "x-ratelimit-reset-tokens": "20ms",
    }
