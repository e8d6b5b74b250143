"""The line to the shared quotas, when what comes back cannot be understood."""

from collections.abc import Sequence

from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.quota.exchange import Question
from tokenflow_hintsvc.quota.link import Link
from tokenflow_hintsvc.store.quotas import Greeting


class Garbled:
    """Shared quotas whose answers are of another release."""

    understood = False

    async def greet(self, *, key: bytes) -> Greeting:
        if not self.understood:
            raise ValueError("an answer of another release")
        return Greeting(epoch="1", key=key, replicas=1, now_us=2_000_000)

    async def exchange(self, questions: Sequence[Question], *, epoch: str) -> list[None]:
        raise AssertionError(f"nobody asks: {questions} in {epoch}")


async def test_a_fault_in_a_round_lets_the_failure_mode_decide_until_it_is_over() -> None:
    shared = Garbled()
    link = Link(shared, desks=list, monotonic_us=lambda: 0)  # type: ignore[arg-type]
    before = metrics.QUOTA_ROUND_FAILURES._value.get()
    for _ in range(3):
        await link.round()
    assert (link.open, link.decides) == (False, False)
    assert metrics.QUOTA_ROUND_FAILURES._value.get() - before == 3
    shared.understood = True
    await link.round()
    assert (link.open, link.decides) == (True, True)
