"""Asking again and again."""

from tests.agent.commands.support import Agent, Reply, batch, serving
from tokenflow_agent.commands.feed import Feed
from tokenflow_agent.commands.polling import polls


class Clock:
    """A clock that stands still but for sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_last_question_is_asked_at_the_end() -> None:
    clock = Clock()
    with serving(Agent([batch(1)]).reply) as url:
        seen = list(polls(Feed(url), interval_s=2, duration_s=5, clock=clock, sleep=clock.sleep))
    assert clock.slept == [2, 2, 1]
    assert [len(poll.batches) for poll in seen] == [1, 0, 0, 0]


def test_an_agent_that_is_away_is_asked_again_and_its_absence_told() -> None:
    clock = Clock()
    replies = iter([Reply(503), Reply(503), Reply(body=b'{"batches": []}')])
    with serving(lambda _, __: next(replies)) as url:
        asking = polls(Feed(url), interval_s=2, clock=clock, sleep=clock.sleep)
        first, second, third = next(asking), next(asking), next(asking)
    assert f"{url}/windows answered 503" in first.trouble
    assert "asking again in" in second.trouble
    assert third.trouble == ""
    assert all(2 <= pause <= 10 for pause in clock.slept)
