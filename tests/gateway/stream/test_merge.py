"""Merging keeps the content: read by a reader of its own, which shares nothing with what is tested."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.stream.support import DONE, chunk, event, token
from tokenflow_gateway.stream.deltas import DeltaReader
from tokenflow_gateway.stream.events import EventCutter
from tokenflow_gateway.stream.merge import merged


def documents(stream: bytes) -> list[Any]:
    return [json.loads(data.removeprefix(b"data: ")) for data in stream.split(b"\n\n")[:-1] if b"[DONE]" not in data]


def contents(stream: bytes) -> dict[tuple[int, str], bytes]:
    """Return all text by choice and field, as a JavaScript reader would put it together."""
    told: dict[tuple[int, str], bytes] = {}
    for document in documents(stream):
        for choice in document["choices"]:
            for field, text in pieces(choice):
                key = choice["index"], field
                told[key] = told.get(key, b"") + text.encode("utf-16-le", "surrogatepass")
    return {key: text for key, text in told.items() if text}


def pieces(choice: dict[str, Any]) -> Iterable[tuple[str, str]]:
    delta = choice.get("delta", {})
    yield "text", choice.get("text") or ""
    yield "finish", choice.get("finish_reason") or ""
    for field in ("content", "reasoning_content", "refusal"):
        yield field, delta.get(field) or ""
    for call in delta.get("tool_calls") or []:
        yield f"id {call['index']}", call.get("id") or ""
        yield f"name {call['index']}", call["function"].get("name") or ""
        yield f"arguments {call['index']}", call["function"]["arguments"]
    for logprob in (choice.get("logprobs") or {}).get("content", []):
        yield "logprobs", logprob["token"]


def through(stream: bytes, cuts: Iterable[int], *, size: int) -> bytes:
    """Pass a stream through, cut by the network at ``cuts`` and in batches of ``size`` events."""
    cutter, reader = EventCutter(), DeltaReader()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    read = [reader.read(one) for low, high in pairwise(edges) for one in cutter.feed(stream[low:high])]
    assert cutter.rest() == b""
    return b"".join(merged(read[low : low + size]) for low in range(0, len(read), size))


texts = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["\ud83d", "\ude00", "\u4e16\u754c", '"', "\\", "\n", '{"a": "', "</s>", "\U0001f600"]),
)
indices = st.integers(0, 2)


def chunk_of(text: str, index: int, spaced: bool, ascii_only: bool) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": None}
    separators = (", ", ": ") if spaced else (",", ":")
    written = json.dumps({"id": "c1", "choices": [choice]}, separators=separators, ensure_ascii=ascii_only)
    return b"data: " + written.encode(errors="replace") + b"\n\n"


def tool(text: str, index: int, *, first: bool) -> bytes:
    named = {"id": "call_1", "type": "function"} if first else {}
    function = {"name": "f", "arguments": text} if first else {"arguments": text}
    return chunk({"tool_calls": [{"index": 0, **named, "function": function}]}, index=index)


said = st.one_of(
    st.builds(token, texts, index=indices),
    st.builds(token, texts, index=indices, created=st.integers(1, 3)),
    st.builds(token, texts, index=indices, usage=st.just({"prompt_tokens": 1, "completion_tokens": 2})),
    st.builds(chunk_of, texts, indices, st.booleans(), st.booleans()),
    st.builds(lambda text, index: chunk({"reasoning_content": text}, index=index), texts, indices),
    st.builds(lambda text, index: chunk({"role": "assistant", "content": text}, index=index), texts, indices),
    st.builds(tool, texts, indices, first=st.booleans()),
    st.builds(lambda text, index: event({"choices": [{"index": index, "text": text}]}), texts, indices),
    st.builds(
        lambda index: event(
            {"choices": [{"index": index, "delta": {"content": "x"}, "logprobs": {"content": [{"token": "x"}]}}]}
        ),
        indices,
    ),
    st.builds(lambda index: event({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}), indices),
    st.just(DONE),
)


@given(
    events=st.lists(said, max_size=40),
    cuts=st.lists(st.integers(0, 6000), max_size=12),
    size=st.integers(1, 40),
)
def test_every_choice_says_the_same_in_valid_chunks(events: list[bytes], cuts: list[int], size: int) -> None:
    stream = b"".join(events)
    passed = through(stream, cuts, size=size)
    assert contents(passed) == contents(stream)
    assert passed.count(DONE) == stream.count(DONE)
    assert len(passed) <= len(stream)


@given(words=st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=16))
def test_likes_become_one_event(words: list[str]) -> None:
    passed = through(b"".join(map(token, words)), [], size=16)
    assert documents(passed) == documents(token("".join(words)))


def test_a_single_token_stays_as_it_came() -> None:
    assert through(token("\u00e9"), [], size=1) == token("\u00e9")


def test_interleaved_choices_are_merged_each_by_itself() -> None:
    passed = through(token("a") + token("x", index=1) + token("b") + token("y", index=1), [], size=4)
    assert passed == token("ab") + token("xy", index=1)


def test_reasoning_stays_before_the_answer() -> None:
    thought = chunk({"reasoning_content": "hm"})
    assert through(thought + token("a") + thought, [], size=3) == thought + token("a") + thought


def test_arguments_of_a_tool_call_follow_the_piece_that_names_it() -> None:
    passed = through(tool("", 0, first=True) + tool('{"a', 0, first=False) + tool('":1}', 0, first=False), [], size=3)
    assert passed == tool("", 0, first=True) + tool('{"a":1}', 0, first=False)


def test_a_character_sent_in_two_halves_becomes_whole() -> None:
    passed = through(token("\ud83d") + token("\ude00"), [], size=2)
    assert documents(passed)[0]["choices"][0]["delta"]["content"] == "\U0001f600"


def test_a_merged_chunk_tells_the_newest_usage() -> None:
    passed = through(
        token("a", usage={"completion_tokens": 1}) + token("b", usage={"completion_tokens": 2}), [], size=2
    )
    assert passed == token("ab", usage={"completion_tokens": 2})


def test_order_is_kept_around_what_cannot_be_merged() -> None:
    stream = token("a") + b": hi\n\n" + token("b") + DONE
    assert through(stream, [], size=4) == stream


def test_deltas_of_other_requests_are_not_mixed() -> None:
    stream = token("a") + token("b", id="c2")
    assert through(stream, [], size=2) == stream


def test_events_of_the_responses_api_are_never_merged() -> None:
    stream = b"".join(
        b'event: response.output_text.delta\ndata: {"sequence_number": %d, "delta": "a"}\n\n' % number
        for number in range(4)
    )
    assert through(stream, [], size=4) == stream
