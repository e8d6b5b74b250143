"""One stream, from bytes that an upstream sent to writes that a reader gets."""

import gc
import socket
import weakref
from dataclasses import replace

import pytest

from tests.gateway.stream.support import DONE, LIMITS, ROLE, TRACE_ID, Setup, event, hint, token
from tokenflow_gateway.errors import UpstreamBrokeOffError
from tokenflow_gateway.stream.deadlines import Patience
from tokenflow_gateway.stream.endings import Why
from tokenflow_gateway.stream.laws import SocketLook
from tokenflow_gateway.stream.meters import Connection, Meter


async def test_neither_the_role_nor_the_first_token_waits_for_a_batch() -> None:
    setup = Setup(told=hint(10.0, batch=16, delay_ms=5000))
    setup.begin()
    setup.call.say(ROLE)
    setup.call.say(token("a"))
    assert setup.answer.got == ROLE + token("a")


async def test_the_first_token_leaves_before_the_connection_is_looked_at() -> None:
    setup = Setup()
    flushed_by_then = list[list[int]]()

    class Noting(Meter):
        def look(self, now: float, *, waiting_bytes: int, held_bytes: int) -> SocketLook | None:
            flushed_by_then.append([*setup.answer.writes_flushed])
            return super().look(now, waiting_bytes=waiting_bytes, held_bytes=held_bytes)

    setup.call.say(token("a"))
    with socket.socket() as sock:
        setup.begin(meter=Noting(connection=Connection(sock=sock, streams=1)))
    assert flushed_by_then == [[1]]


async def test_a_clear_path_passes_every_token_on_at_once_and_as_it_came() -> None:
    setup = Setup(told=hint(80.0))
    setup.begin()
    for number in range(20):
        setup.call.say(token(str(number)))
        assert setup.answer.writes[-1] == (setup.clock(), token(str(number)))
        setup.clock.run(0.05)
    assert not setup.call.paused


async def test_a_congested_path_gets_batches_each_from_one_read() -> None:
    setup = Setup(told=hint(20.0, batch=5, delay_ms=250))
    setup.begin()
    setup.call.say(token("."))
    reads = setup.call.reads
    for number in range(40):
        setup.clock.run(0.05)
        setup.call.say(token(chr(ord("a") + number % 26)))
    # 2 s of 20 tokens per second in batches of five.
    assert len(setup.answer.writes) in (8, 9)
    assert setup.call.reads - reads in (7, 8, 9)
    assert setup.answer.writes[2][1].count(b"data:") == 1


async def test_an_upstream_that_is_faster_than_the_rate_is_read_only_once_what_is_held_has_gone() -> None:
    setup = Setup(told=hint(5.0, batch=4, delay_ms=250))
    setup.begin()
    setup.call.say(token("."))
    for _ in range(600):
        setup.clock.run(0.1)
        setup.call.say(*[token("a") for _ in range(10)])
    assert setup.call.reads < 10


async def test_tokens_go_out_at_the_rate_and_nothing_is_lost() -> None:
    setup = Setup(told=hint(20.0))
    setup.begin()
    setup.call.say(*[token(str(number % 10)) for number in range(100)], DONE, None)
    began = setup.clock()
    setup.clock.run(2.5)
    assert 49 <= len(setup.answer.writes) <= 55
    setup.clock.run(60.0)
    assert setup.answer.got == b"".join(token(str(number % 10)) for number in range(100)) + DONE
    assert setup.answer.writes[-1][0] - began == pytest.approx(99 / 20, abs=0.2)
    assert setup.answer.finished


async def test_a_policy_that_does_not_enforce_changes_nothing() -> None:
    setup = Setup(limits=replace(LIMITS, enforce=False), told=hint(5.0, batch=16, delay_ms=250))
    setup.begin()
    stream = b"".join(token(str(number % 10)) for number in range(100))
    setup.call.say(stream + DONE, None)
    assert setup.answer.got == stream + DONE


async def test_a_slow_reader_holds_the_upstream_and_gets_merged_what_waited() -> None:
    setup = Setup(told=hint(80.0))
    setup.begin()
    setup.call.say(token("a"))
    setup.answer.flowing = False
    setup.clock.run(0.05)
    setup.call.say(token("b"))
    assert setup.call.paused
    for text in "cdefgh":
        setup.call.say(token(text))
    setup.clock.run(10.0)
    assert setup.answer.got == token("a")
    setup.answer.flow()
    setup.clock.run(1.0)
    assert setup.answer.got.count(b"data:") == 3
    assert not setup.call.paused


async def test_a_reader_who_leaves_ends_the_upstreams_work_at_once() -> None:
    setup = Setup()
    stream = setup.begin()
    setup.call.say(token("a"))
    setup.answer.leave()
    assert setup.call.cancelled
    assert stream.ended.result().why is Why.READER_LEFT
    setup.clock.run(100.0)
    assert setup.clock.armed == 0


async def test_what_came_before_a_failure_arrives_and_the_last_words_tell_of_it() -> None:
    setup = Setup(told=hint(80.0))
    stream = setup.begin()
    setup.call.say(token("a"), b"data: {half", UpstreamBrokeOffError("broke off"))
    error = UpstreamBrokeOffError("broke off").body(trace_id=TRACE_ID)
    assert setup.answer.got == token("a") + b"data: " + error.encode() + b"\n\n"
    assert setup.answer.finished
    ended = stream.ended.result()
    assert (ended.why, ended.tokens) == (Why.UPSTREAM_BROKE, 1)


async def test_an_end_without_done_is_passed_as_it_came() -> None:
    setup = Setup()
    stream = setup.begin()
    setup.call.say(token("a"), b"data: [DONE]", None)
    assert setup.answer.got == token("a") + b"data: [DONE]"
    assert stream.ended.result().why is Why.COMPLETE


@pytest.mark.parametrize(
    ("said", "seconds", "field"),
    [([], 60.0, "firstToken"), ([ROLE], 60.0, "firstToken"), ([token("a")], 30.0, "betweenTokens")],
)
async def test_a_silent_upstream_is_given_up_in_time(said: list[bytes], seconds: float, field: str) -> None:
    setup = Setup()
    stream = setup.begin()
    setup.call.say(*said)
    setup.clock.run(seconds - 0.1)
    assert not stream.ended.done()
    setup.clock.run(0.2)
    assert setup.call.cancelled
    assert stream.ended.result().why is Why.TIMED_OUT
    assert field.encode() in setup.answer.got
    assert setup.answer.finished


async def test_a_stream_that_takes_too_long_as_a_whole_is_ended_with_all_that_it_had() -> None:
    setup = Setup(patience=Patience(first_token=1.0, between_tokens=1.0, total=3.0), told=hint(5.0))
    stream = setup.begin()
    setup.call.say(*[token("a") for _ in range(100)])
    setup.clock.run(3.1)
    assert stream.ended.result().why is Why.TIMED_OUT
    assert stream.ended.result().tokens == 100
    assert b"spec.gateway.timeouts.total" in setup.answer.got


async def test_a_reader_that_does_not_read_is_not_blamed_on_the_upstream() -> None:
    setup = Setup()
    stream = setup.begin()
    setup.answer.flowing = False
    setup.call.say(token("a"))
    setup.clock.run(400.0)
    assert not stream.ended.done()


async def test_a_long_silence_is_filled_with_comments() -> None:
    setup = Setup()
    setup.begin()
    setup.clock.run(40.0)
    assert setup.answer.got == b": keep-alive\n\n" * 2


async def test_usage_is_read_and_shown_only_to_readers_who_asked() -> None:
    usage = event({"id": "c1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 9}})
    for wants in (True, False):
        setup = Setup(wants_usage=wants)
        stream = setup.begin()
        setup.call.say(token("a"), usage, DONE, None)
        assert setup.answer.got == token("a") + (usage if wants else b"") + DONE
        told = stream.ended.result().usage
        assert (told.input_tokens, told.output_tokens, told.measured) == (3, 9, True)


async def test_without_usage_tokens_are_counted() -> None:
    setup = Setup(told=hint(80.0))
    stream = setup.begin()
    setup.call.say(token("a"), DONE, None)
    usage = stream.ended.result().usage
    assert (usage.output_tokens, usage.measured) == (1, False)


async def test_a_stream_that_outlasts_the_drain_ends_with_how_to_go_on() -> None:
    setup = Setup(told=hint(5.0))
    stream = setup.begin()
    setup.call.say(*[token("a") for _ in range(10)])
    stream.drain(setup.clock() + 1.0)
    setup.clock.run(1.1)
    assert setup.call.cancelled
    assert (stream.ended.result().why, stream.ended.result().tokens) == (Why.DRAINED, 10)
    assert b'"code": "gateway_draining"' in setup.answer.got
    assert b'"resumable": true, "tokens_sent": 10' in setup.answer.got


async def test_a_stream_that_ends_within_the_drain_ends_as_ever() -> None:
    setup = Setup(told=hint(80.0))
    stream = setup.begin()
    stream.drain(setup.clock() + 5.0)
    setup.call.say(token("a"), DONE, None)
    assert stream.ended.result().why is Why.COMPLETE


async def test_an_endless_event_ends_the_stream() -> None:
    setup = Setup()
    stream = setup.begin()
    setup.call.say(b"data: " + b"x" * (1 << 21))
    assert setup.call.cancelled
    assert stream.ended.result().why is Why.UPSTREAM_BROKE
    assert b"above 1048576 bytes" in setup.answer.got


async def test_progress_is_told_of_all_that_is_sent() -> None:
    setup = Setup(told=hint(80.0))
    setup.begin()
    setup.call.say(ROLE, token("a"), DONE, None)
    assert sum(tokens for tokens, _, _ in setup.progress.sends) == 1
    assert sum(size for _, size, _ in setup.progress.sends) == len(ROLE + token("a") + DONE)


@pytest.mark.parametrize("why", [Why.COMPLETE, Why.READER_LEFT, Why.TIMED_OUT])
async def test_a_stream_that_has_ended_is_freed_without_a_search_for_garbage(why: Why) -> None:
    gc.disable()
    try:
        setup = Setup(told=hint(20.0, batch=5, delay_ms=250))
        stream = setup.begin()
        setup.call.say(token("a"), token("b"))
        setup.clock.run(1.0)
        if why is Why.COMPLETE:
            setup.call.say(DONE, None)
        elif why is Why.READER_LEFT:
            setup.answer.leave()
        setup.clock.run(40.0)
        assert stream.ended.result().why is why
        setup.call.cancel()
        freed = weakref.ref(stream)
        del stream
        assert freed() is None
    finally:
        gc.enable()
