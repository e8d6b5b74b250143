"""Hint reads as bytes, and what time makes of them."""

import pytest

from tests.hintsvc.serving import Clock, config, hint, snapshot
from tokenflow_api.hints import HintReply
from tokenflow_hintsvc.view.answers import HintAnswer, HintAnswers
from tokenflow_hintsvc.view.current import View
from tokenflow_hintsvc.view.packed import pack, unpack


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def view(clock: Clock) -> View:
    return View(clock=clock)


@pytest.fixture
def answers(view: View) -> HintAnswers:
    return HintAnswers(view)


def read(answers: HintAnswers, path: str = "*") -> HintReply:
    return HintReply.model_validate_json(answers.get("gold", path, config(generation=9)).body)


def test_an_answer_tells_the_generation_that_the_hint_was_computed_with(view: View, answers: HintAnswers) -> None:
    view.accept(unpack(pack(snapshot(5, generation=3))))
    assert read(answers) == HintReply(
        hint=hint("gold"), generation=3, version=5, at_unix_ms=1_700_000_000_005, ttl_ms=1000
    )


def test_an_answer_is_encoded_once_for_each_snapshot(view: View, answers: HintAnswers) -> None:
    view.accept(unpack(pack(snapshot(1))))
    first = answers.get("gold", "*", config())
    assert answers.get("gold", "*", config()) is first
    view.accept(unpack(pack(snapshot(2))))
    assert answers.get("gold", "*", config()).etag == '"1-2"'


def test_paths_that_are_not_known_share_the_tenants_answer(view: View, answers: HintAnswers) -> None:
    view.accept(unpack(pack(snapshot())))
    assert answers.get("gold", "llama/192.0.2.0/24", config()).body != answers.get("gold", "*", config()).body
    assert answers.get("gold", "llama/203.0.113.0/24", config()) is answers.get("gold", "*", config())


def test_an_expired_hint_moves_to_the_fallback_in_steps_and_stays_there(
    view: View, answers: HintAnswers, clock: Clock
) -> None:
    view.accept(unpack(pack(snapshot(1, hint("gold", rate=40.0)))))
    seen = []
    for age in (0.9, 1.0, 1.01, 1.09, 6.0, 11.2, 60.0):
        clock.now = 1000.0 + age
        seen.append((read(answers).hint.tokens_per_second, answers.get("gold", "*", config(generation=9)).etag))
    assert seen == [
        (40.0, '"1-1"'),
        (40.0, '"1-1"'),
        (pytest.approx(39.8), '"1-1-9-1"'),
        (pytest.approx(39.8), '"1-1-9-1"'),
        (pytest.approx(29.8), '"1-1-9-51"'),
        (20.0, '"1-1-9-101"'),
        (20.0, '"1-1-9-101"'),
    ]


def test_an_older_snapshot_is_not_served(view: View, answers: HintAnswers) -> None:
    view.accept(unpack(pack(snapshot(7, term=2))))
    view.accept(unpack(pack(snapshot(9, term=1))))
    assert answers.get("gold", "*", config()).etag == '"2-7"'


def test_without_a_snapshot_the_fallback_is_served(answers: HintAnswers) -> None:
    reply = read(answers)
    assert (reply.hint.tokens_per_second, reply.hint.source, reply.generation) == (20.0, "Fallback", 9)


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        ('"1-2"', True),
        ('W/"1-2"', True),
        ('"0-1", "1-2"', True),
        ("*", True),
        ('"1-20"', False),
        ("1-2", False),
        ("", False),
    ],
)
def test_if_none_match(sent: str, known: bool) -> None:
    assert HintAnswer(b"", '"1-2"').is_known(sent) is known
