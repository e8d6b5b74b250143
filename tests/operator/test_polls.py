"""How often hint services are asked, and when a pass follows."""

import dataclasses

import pytest

from tests.operator.builders import view
from tokenflow_operator.errors import (
    HintServiceError,
    HintServiceRefusedError,
    HintServiceUnreachableError,
    HintServiceUntrustedError,
)
from tokenflow_operator.hint_service import Answer
from tokenflow_operator.keys import Key
from tokenflow_operator.polls import MAX_SILENCE_S, Polls, Target, ending_with_others
from tokenflow_operator.snapshot import Silence

DEMO = Key(kind="PacingPolicy", namespace="n", name="demo")
TARGET = Target(
    policy=DEMO,
    address="http://demo",
    authorities="",
    generation=1,
    replicas=frozenset(f"demo-hintsvc-{i}" for i in range(3)),
    hurried=False,
)
AWAY = HintServiceUnreachableError("away")


class FakeHintService:
    def __init__(self) -> None:
        self.answer: Answer | HintServiceError = Answer(view=view(), tag='"1"')
        self.tags: list[str] = []
        self.last: list[bool] = []

    async def view(self, _: str, *, tag: str = "", last: bool = False, **__: str) -> Answer | None:
        self.tags.append(tag)
        self.last.append(last)
        if isinstance(self.answer, HintServiceError):
            raise self.answer
        return None if tag and tag == self.answer.tag else self.answer


class Setup:
    def __init__(self) -> None:
        self.now = 0.0
        self.passes: list[Key] = []
        self.service = FakeHintService()
        self.polls = Polls(
            hint_service=self.service, changed=self.passes.append, clock=lambda: self.now, jitter=lambda: 1.0
        )

    async def ask(self, times: int = 1) -> float:
        pause_s = 0.0
        for _ in range(times):
            answered = await self.polls.ask(DEMO)
            assert answered is not None
            pause_s = answered
            self.now += pause_s
        return pause_s

    def passes_since(self) -> int:
        count = len(self.passes)
        self.passes.clear()
        return count


@pytest.fixture
def setup() -> Setup:
    setup = Setup()
    setup.polls.state(TARGET)
    return setup


async def test_before_the_first_answer_nothing_is_known_and_the_answer_asks_for_a_pass(setup: Setup) -> None:
    assert setup.polls.state(TARGET).pending
    await setup.ask()
    assert setup.polls.state(TARGET).view == view()
    assert not setup.polls.state(TARGET).pending
    assert setup.passes == [DEMO]


async def test_what_stays_the_same_is_asked_for_by_its_tag_ever_more_rarely_and_asks_for_no_pass(setup: Setup) -> None:
    assert await setup.ask() == 5.0
    setup.passes_since()
    pauses = [await setup.ask() for _ in range(8)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0
    assert setup.service.tags == ["", *['"1"'] * 8]
    assert setup.passes_since() == 0


async def test_another_meaning_asks_for_a_pass_and_is_looked_at_sooner(setup: Setup) -> None:
    await setup.ask(8)
    setup.passes_since()
    setup.service.answer = Answer(view=view(leader="demo-hintsvc-1"), tag='"2"')
    assert await setup.ask() == 5.0
    assert setup.passes_since() == 1
    state = setup.polls.state(TARGET)
    assert state.view is not None
    assert state.view.leader == "demo-hintsvc-1"


async def test_a_generation_is_awaited_eagerly_until_all_replicas_have_it(setup: Setup) -> None:
    await setup.ask()
    newer = dataclasses.replace(TARGET, generation=2)
    setup.polls.state(newer)
    pauses = [await setup.ask() for _ in range(3)]
    assert pauses[0] < 0.2
    assert pauses == sorted(pauses)
    setup.passes_since()
    setup.service.answer = Answer(view=view(generation=2), tag='"2"')
    assert await setup.ask() == 5.0
    assert setup.passes_since() == 1


async def test_a_replica_that_refuses_a_generation_is_not_awaited(setup: Setup) -> None:
    refusing, *others = view(generation=2).replicas
    replicas = [refusing.model_copy(update={"generation": 1, "error": "too new"}), *others]
    newer = view().model_copy(update={"replicas": replicas})
    setup.polls.state(dataclasses.replace(TARGET, generation=2))
    setup.service.answer = Answer(view=newer, tag='"1"')
    assert await setup.ask() == 5.0


async def test_a_rollout_that_is_decided_by_measurements_gets_them_fresh(setup: Setup) -> None:
    setup.polls.state(dataclasses.replace(TARGET, hurried=True))
    assert [await setup.ask() for _ in range(2)] == [2.0, 2.0]
    assert setup.service.tags == ["", ""]


async def test_one_failure_is_none_and_three_in_a_row_are(setup: Setup) -> None:
    await setup.ask()
    setup.passes_since()
    setup.service.answer = AWAY
    await setup.ask(2)
    assert setup.polls.state(TARGET).view == view()
    assert setup.passes_since() == 0
    await setup.ask()
    state = setup.polls.state(TARGET)
    assert (state.view, state.error, state.silence) == (None, "away", Silence.UNREACHABLE)
    assert setup.passes_since() == 1


async def test_failures_that_last_count_however_few(setup: Setup) -> None:
    await setup.ask()
    setup.service.answer = AWAY
    await setup.ask()
    setup.now += MAX_SILENCE_S
    await setup.ask()
    assert setup.polls.state(TARGET).error == "away"


async def test_a_rest_between_two_answers_is_no_silence(setup: Setup) -> None:
    await setup.ask(10)
    setup.service.answer = AWAY
    await setup.ask()
    assert setup.polls.state(TARGET).view == view()


async def test_other_words_of_the_same_failure_ask_for_no_pass_and_its_end_does(setup: Setup) -> None:
    setup.service.answer = AWAY
    await setup.ask(3)
    setup.passes_since()
    setup.service.answer = HintServiceUnreachableError("away still")
    await setup.ask(5)
    assert setup.passes_since() == 0
    setup.service.answer = HintServiceRefusedError("403")
    await setup.ask()
    assert setup.polls.state(TARGET).silence is Silence.REFUSED
    assert setup.passes_since() == 1
    setup.service.answer = Answer(view=view(), tag='"1"')
    await setup.ask()
    assert setup.polls.state(TARGET).view == view()
    assert setup.passes_since() == 1


async def test_who_is_out_of_reach_for_long_is_asked_rarely(setup: Setup) -> None:
    setup.service.answer = AWAY
    assert await setup.ask(30) == 15.0


async def test_who_is_followed_no_more_is_not_asked(setup: Setup) -> None:
    setup.polls.forget(DEMO)
    assert await setup.polls.ask(DEMO) is None
    assert setup.service.tags == []


def test_what_was_said_is_over_once_nobody_is_there_to_say_it(setup: Setup) -> None:
    setup.passes_since()
    for _ in range(2):
        setup.polls.forget(DEMO)
    assert setup.passes_since() == 1


async def test_whoever_reads_of_a_hint_service_is_told_that_it_answers_elsewhere(setup: Setup) -> None:
    await setup.ask()
    setup.passes_since()
    elsewhere = dataclasses.replace(TARGET, address="https://demo")
    for _ in range(2):
        setup.polls.state(elsewhere)
    assert setup.passes == [DEMO]
    await setup.ask()
    assert setup.passes_since() == 1


async def test_a_hint_service_without_tags_is_taken_at_its_word_each_time(setup: Setup) -> None:
    setup.service.answer = Answer(view=view(), tag="")
    await setup.ask(3)
    assert setup.passes_since() == 3


async def test_a_certificate_that_is_not_believed_for_another_reason_asks_for_a_pass(setup: Setup) -> None:
    for why, passes in (("it has expired", 1), ("it has expired", 0), ("it is for another name", 1)):
        setup.service.answer = HintServiceUntrustedError(why)
        await setup.ask(3)
        assert (setup.polls.state(TARGET).error, setup.passes_since()) == (why, passes)


@pytest.mark.parametrize(("scheme", "fresh"), [("https", [0.0, 60.0, 120.0]), ("http", [])])
async def test_a_connection_by_tls_is_left_each_minute_so_that_a_new_certificate_is_judged(
    scheme: str, fresh: list[float]
) -> None:
    setup = Setup()
    setup.polls.state(dataclasses.replace(TARGET, address=f"{scheme}://demo", hurried=True))
    asked_at = []
    while setup.now < 150:
        asked_at.append(setup.now)
        await setup.ask()
    assert [at for at, last in zip(asked_at, setup.service.last, strict=True) if last] == fresh


@pytest.mark.parametrize(
    ("pause_s", "now", "ends_at"),
    [(0.1, 7.0, 7.1), (2.2, 7.0, 9.2), (5.0, 100.4, 106.0), (5.0, 100.9, 106.0), (30.0, 101.1, 132.0)],
)
def test_who_are_at_rest_are_asked_at_the_same_moments_and_the_others_in_time(
    pause_s: float, now: float, ends_at: float
) -> None:
    assert now + ending_with_others(pause_s, now=now) == pytest.approx(ends_at)
