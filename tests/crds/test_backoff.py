from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.backoff import Backoff


@given(failures=st.integers(1, 100), share=st.floats(0.0, 1.0))
def test_pauses_stay_below_a_ceiling_that_grows(failures: int, share: float) -> None:
    backoff = Backoff(first_s=0.25, most_s=10.0, uniform=lambda low, high: low + share * (high - low))
    pauses = [backoff.failed() for _ in range(failures)]
    assert all(0.0 <= pause <= min(10.0, 0.25 * 2.0**number) for number, pause in enumerate(pauses))


def test_success_starts_anew() -> None:
    backoff = Backoff(first_s=1.0, uniform=lambda _, high: high)
    assert [backoff.failed(), backoff.failed()] == [1.0, 2.0]
    backoff.succeeded()
    assert backoff.failed() == 1.0
