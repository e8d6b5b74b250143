import json

import pytest

from tests.gateway.stream.support import chunk, event, token
from tokenflow_gateway.stream.deltas import DeltaReader, Raw, Run
from tokenflow_gateway.stream.merge import merged
from tokenflow_gateway.stream.usage import Usage


def bare(framed: bytes) -> bytes:
    return framed.removesuffix(b"\n\n")


def call(arguments: str, **others: object) -> bytes:
    return chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments}, **others}]})


@pytest.mark.parametrize(
    "said",
    [
        token("x"),
        chunk({"role": "assistant", "content": "x"}),
        chunk({"role": None, "content": "x", "reasoning_content": None, "tool_calls": None}),
        chunk({"reasoning_content": "x"}),
        chunk({"reasoning": "x", "content": ""}),
        chunk({"refusal": "x"}),
        call("x"),
        call("x", id=None, type="function"),
        event({"id": "cmpl", "choices": [{"index": 0, "text": "x", "logprobs": None, "finish_reason": None}]}),
        event({"choices": [{"delta": {"content": "x"}, "index": 0}], "obfuscation": "a8f"}),
    ],
)
def test_a_chunk_with_nothing_but_a_piece_of_text_is_a_delta(said: bytes) -> None:
    read = DeltaReader().read(bare(said))
    assert isinstance(read, Run)
    assert read.texts == [b"x"]
    assert merged([read]) == said


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        (b"data: [DONE]", 0),
        (b": keep-alive", 0),
        (b"event: error\ndata: {}", 0),
        (b"data: not json", 0),
        (b"data: 7", 0),
        (b"data: " + b"[" * 100_000, 0),
        (chunk({"role": "assistant", "content": ""}), 0),
        (event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), 0),
        (event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}), 1),
        (event({"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": [{}, {}]}}]}), 2),
        (event({"choices": [{"index": 0, "delta": {"content": "x"}, "token_ids": [7]}]}), 1),
        (event({"choices": [{"index": i, "delta": {"content": "x"}} for i in range(3)]}), 3),
        (chunk({"content": "x", "reasoning_content": "y"}), 1),
        (chunk({"content": "x"}, extra={"content": "x"}), 1),
        (call("x", id="call_1"), 1),
        (chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "x"}}]}), 1),
        (chunk({"tool_calls": [{"index": i, "function": {"arguments": "x"}} for i in range(2)]}), 1),
        (b'event: response.output_text.delta\ndata: {"sequence_number": 3, "delta": "x"}', 1),
        (b'event: response.created\ndata: {"response": {"usage": null}}', 0),
        (event({"error": {"message": "no"}}), 0),
    ],
)
def test_all_else_is_passed_on_as_it_came(said: bytes, tokens: int) -> None:
    assert DeltaReader().read(bare(said)) == Raw(bare(said) + b"\n\n", tokens)


def test_the_next_delta_is_known_by_its_frame() -> None:
    reader = DeltaReader()
    first, second = reader.read(bare(token("a"))), reader.read(bare(token('"\\\n\u4e16')))
    assert isinstance(first, Run)
    assert isinstance(second, Run)
    assert second.template is first.template
    assert json.loads(b'"' + second.texts[0] + b'"') == '"\\\n\u4e16'


@pytest.mark.parametrize("text", ['a","role":"x', 'a"', "a\\x", "a\n", "\\ud83", "\\"])
def test_a_frame_around_what_is_no_text_is_not_taken_for_a_delta(text: str) -> None:
    reader = DeltaReader()
    known = reader.read(bare(token("a")))
    assert isinstance(known, Run)
    forged = known.template.prefix + text.encode() + known.template.suffix
    assert reader.known(forged) is None
    assert merged([reader.read(bare(forged))]) == forged


def test_a_frame_that_overlaps_itself_is_not_taken_for_a_delta() -> None:
    reader = DeltaReader()
    known = reader.read(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}')
    assert isinstance(known, Run)
    assert isinstance(reader.read(bare(known.template.prefix + known.template.suffix[1:])), Raw)


def test_events_of_one_frame_are_known_all_at_once() -> None:
    reader = DeltaReader()
    reader.read(bare(token("a")))
    known = reader.known(token("b") + token("") + token("\u4e16"))
    assert known is not None
    assert known.texts == [b"b", b"", b"\\u4e16"]


@pytest.mark.parametrize(
    "between", [b"data: [DONE]\n\n", b": hi\n\n", b"\n", chunk({"content": "x"}, index=1), token("x", id="c2"), b"x"]
)
def test_what_stands_between_events_of_one_frame_is_not_taken_for_text(between: bytes) -> None:
    reader = DeltaReader()
    reader.read(bare(token("a")))
    assert reader.known(token("b") + between + token("c")) is None


def test_a_chunk_with_nothing_but_usage_is_marked() -> None:
    reader = DeltaReader()
    said = bare(event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 9}}))
    assert reader.read(said) == Raw(said + b"\n\n", usage_only=True)
    assert reader.usage == Usage(input_tokens=3, output_tokens=9, measured=True)


def test_usage_beside_text_is_read_too() -> None:
    reader = DeltaReader()
    for made in (1, 2):
        usage = {"prompt_tokens": 3, "total_tokens": 3 + made, "completion_tokens": made}
        assert isinstance(reader.read(bare(token("a", usage=usage))), Run)
    assert reader.usage == Usage(input_tokens=3, output_tokens=2, measured=True)


def test_the_end_of_a_response_tells_its_usage() -> None:
    reader = DeltaReader()
    ended = {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 9}}}
    reader.read(b"event: response.completed\ndata: " + json.dumps(ended).encode())
    assert reader.usage == Usage(input_tokens=3, output_tokens=9, measured=True)
