"""Whatever the network, the upstream and the hints do: the reader gets all of it, in order, in whole events."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.stream.support import DONE, ROLE, Setup, hint, token
from tokenflow_gateway.stream.endings import Why
from tokenflow_gateway.stream.guide import Told
from tokenflow_gateway.stream.held import MOST_TOKENS

hints = st.builds(
    lambda rate, batch, delay_ms: hint(rate, batch=batch, delay_ms=delay_ms),
    st.floats(5.0, 80.0),
    st.integers(1, 16),
    st.sampled_from([0, 100, 250]),
)
steps = st.one_of(
    st.tuples(st.just("say"), st.lists(st.text(max_size=3), min_size=1, max_size=30)),
    st.tuples(st.just("wait"), st.floats(0.0, 1.5)),
    st.tuples(st.just("cut"), st.integers(1, 150)),
    st.tuples(st.just("hint"), hints),
    st.tuples(st.just("block"), st.none()),
    st.tuples(st.just("flow"), st.none()),
)


def text(stream: bytes) -> str:
    told = ""
    for event in stream.split(b"\n\n")[:-1]:
        if event.startswith(b"data: {"):
            told += json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"]["content"]
    return told


@given(first=hints, taken=st.lists(steps, max_size=30))
async def test_a_reader_gets_all_of_it(first: Told, taken: list[tuple[str, object]]) -> None:
    setup = Setup(told=first)
    stream = setup.begin()
    setup.call.say(ROLE)
    said, cut = "", 0
    for step, value in taken:
        match step, value:
            case "say", list(words):
                said += "".join(words)
                whole = b"".join(map(token, words))
                setup.call.say(whole[:cut], whole[cut:])
            case "wait", float(seconds):
                setup.clock.run(seconds)
            case "cut", int(place):
                cut = place
            case "hint", Told() as told:
                setup.told = told
            case "block", _:
                setup.answer.flowing = False
            case _:
                setup.answer.flow()
        assert stream.view().queued_tokens <= MOST_TOKENS + 30 * len(taken)
    setup.answer.flow()
    setup.call.say(DONE, None)
    setup.clock.run(590.0)
    assert text(setup.answer.got) == said
    assert setup.answer.got.endswith(DONE)
    ended = stream.ended.result()
    assert ended.why is Why.COMPLETE
    assert setup.answer.finished
    assert not setup.call.cancelled
    assert setup.clock.armed == 0


@given(
    rate=st.floats(5.0, 80.0),
    batch=st.integers(1, 16),
    delay_ms=st.sampled_from([0, 100, 250]),
    gaps=st.lists(st.floats(0.0, 0.2), min_size=1, max_size=80),
)
async def test_no_reader_gets_more_than_the_rate_and_no_token_waits_longer_than_it_must(
    rate: float, batch: int, delay_ms: int, gaps: list[float]
) -> None:
    setup = Setup(told=hint(rate, batch=batch, delay_ms=delay_ms))
    setup.begin()
    began, said, sent, due = setup.clock(), list[float](), 0, 0.0
    for gap in gaps:
        setup.clock.run(gap)
        said.append(setup.clock() - began)
        setup.call.say(token("a"))
    setup.clock.run(30.0)
    for tokens, _, now in setup.progress.sends:
        for _ in range(tokens):
            due = max(said[sent], due) + 1 / rate
            # A batch's delay, two ticks of the wheel, and one batch that may stand before it in the queue.
            assert now - began <= due + delay_ms / 1000 + batch / rate + 0.02
            sent += 1
        assert sent <= rate * (now - began + 0.1) + batch + 1e-6
    assert sent == len(gaps)
