import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.admission.support import Clock, reply
from tokenflow_api.quota import AdmitReply, Limit, Refusal
from tokenflow_gateway.admission.ahead import NOTHING, RECENT_S, Outlook, Room, may_go_ahead

rooms = st.builds(Room, requests=st.integers(1, 9), tokens=st.integers(1, 900), streams=st.integers(0, 9))
amounts = st.integers(0, 10_000)


def left(requests: int, tokens: int, streams: int) -> AdmitReply:
    return reply().model_copy(
        update={
            "requests": Limit(limit=10_000, remaining=requests, reset_ms=0),
            "tokens": Limit(limit=10_000, remaining=tokens, reset_ms=0),
            "streams_left": streams,
        }
    )


@pytest.mark.parametrize(
    ("asked", "gateways", "ahead"),
    [
        (Room(1, 100, 1), 1, True),
        (Room(3, 100, 1), 1, False),
        (Room(1, 301, 1), 1, False),
        (Room(1, 100, 2), 1, False),
        (Room(1, 301, 0), 1, False),
        (Room(1, 100, 1), 2, False),
    ],
)
def test_a_request_goes_ahead_within_its_gateways_part_of_half_of_each_limit(
    asked: Room, gateways: int, *, ahead: bool
) -> None:
    under_way = Room(2, 200, 0)
    assert may_go_ahead(asked, unanswered=under_way, left=Room(8, 1000, 2), gateways=gateways) is ahead


def test_before_the_first_answer_nothing_goes_ahead() -> None:
    assert not Outlook(Clock()).begin("gold", Room(1, 1, 1), gateways=1)


def test_an_answer_says_nothing_of_another_tenant_and_nothing_once_it_is_old() -> None:
    clock = Clock()
    outlook = Outlook(clock)
    outlook.hear("gold", left(100, 10_000, 100))
    assert not outlook.begin("bronze", Room(1, 1, 1), gateways=1)
    clock.now += RECENT_S - 0.1
    assert outlook.begin("gold", Room(1, 1, 1), gateways=1)
    clock.now += 0.1
    assert not outlook.begin("gold", Room(1, 1, 1), gateways=1)


@pytest.mark.parametrize(
    "answer",
    [
        reply(Refusal.TOKENS, wait_ms=1000),
        left(100, 10_000, 100).model_copy(update={"local": True}),
        # What mode Enforce would have said.
        left(100, 10_000, 100).model_copy(update={"refusal": Refusal.REQUESTS}),
        None,
    ],
)
def test_after_a_refusal_an_outage_or_no_answer_the_next_request_is_checked_first(answer: AdmitReply | None) -> None:
    outlook = Outlook(Clock())
    outlook.hear("gold", left(100, 10_000, 100))
    outlook.hear("gold", answer)
    assert not outlook.begin("gold", Room(1, 1, 1), gateways=1)
    outlook.hear("gold", left(100, 10_000, 100))
    assert outlook.begin("gold", Room(1, 1, 1), gateways=1)


@given(answer=st.tuples(amounts, amounts, amounts), gateways=st.integers(1, 4), each=st.lists(rooms, max_size=50))
def test_all_gateways_together_send_at_most_half_of_what_was_left_ahead(
    answer: tuple[int, int, int], gateways: int, each: list[Room]
) -> None:
    sent = NOTHING
    for outlook in (Outlook(Clock()) for _ in range(gateways)):
        outlook.hear("gold", left(*answer))
        for asked in each:
            if outlook.begin("gold", asked, gateways=gateways):
                sent = sent.with_more(asked)
    assert all(2 * most <= there for most, there in zip(sent, answer, strict=True))


@given(data=st.data())
def test_whatever_comes_between_what_is_sent_ahead_fits_into_the_last_answer(data: st.DataObject) -> None:
    outlook = Outlook(Clock())
    last, under_way = NOTHING, list[Room]()

    def ask() -> None:
        asked = data.draw(rooms)
        if outlook.begin("gold", asked, gateways=1):
            together = asked
            for other in under_way:
                together = together.with_more(other)
            assert all(2 * most <= there for most, there in zip(together, last, strict=True))
        under_way.append(asked)

    def end() -> None:
        if under_way:
            outlook.end("gold", under_way.pop(data.draw(st.integers(0, len(under_way) - 1))))

    def hear() -> None:
        nonlocal last
        last = Room(*data.draw(st.tuples(amounts, amounts, amounts)))
        outlook.hear("gold", left(*last))

    for step in data.draw(st.lists(st.sampled_from([ask, end, hear]), max_size=40)):
        step()
