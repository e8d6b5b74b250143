import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_gateway.chunks import MAX_EVENT_BYTES, Delta, Item, Raw, Splitter, merge, parse


def delta(content: str, *, index: int = 0, identifier: str = "c1") -> bytes:
    choice = {"index": index, "delta": {"content": content}, "logprobs": None, "finish_reason": None}
    chunk = {"id": identifier, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def contents(stream: bytes) -> dict[int, str]:
    texts: dict[int, str] = {}
    for item in Splitter().feed(stream):
        if isinstance(item, Delta):
            index = item.chunk["choices"][0]["index"]
            texts[index] = texts.get(index, "") + item.content
    return texts


texts = st.lists(st.tuples(st.text(min_size=1, max_size=8), st.integers(0, 2)), max_size=30)


@given(pieces=texts)
def test_merging_keeps_the_text_of_every_choice(pieces: list[tuple[str, int]]) -> None:
    stream = b"".join(delta(text, index=index) for text, index in pieces)
    assert contents(merge(list(Splitter().feed(stream)))) == contents(stream)


@given(pieces=texts, cuts=st.lists(st.integers(0, 4000), max_size=10), end=st.sampled_from([b"\n", b"\r\n"]))
def test_cuts_of_the_network_do_not_matter(pieces: list[tuple[str, int]], cuts: list[int], end: bytes) -> None:
    stream = b"".join(delta(text, index=index) for text, index in pieces).replace(b"\n", end)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = Splitter()
    items = [item for low, high in pairwise(edges) for item in splitter.feed(stream[low:high])]
    assert items == list(Splitter().feed(stream))
    assert splitter.rest() == b""


def test_neighbours_become_one_event() -> None:
    merged = merge(list(Splitter().feed(delta("a") + delta("b") + delta("c"))))
    assert merged.count(b"data: ") == 1
    assert contents(merged) == {0: "abc"}


@pytest.mark.parametrize(
    "event",
    [
        b"data: [DONE]\n\n",
        b": keep-alive\n\n",
        b"event: error\ndata: {}\n\n",
        b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}\n\n',
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n',
        b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n',
        b"data: not json\n\n",
    ],
)
def test_what_is_more_than_text_is_passed_on_as_it_came(event: bytes) -> None:
    assert parse(event) == Raw(event)
    assert merge([parse(event)]) == event


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "delta": {"tool_calls": [{"index": 0}]}, "finish_reason": None},
        {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"},
        {"index": 0, "delta": {"content": "x", "role": "assistant"}},
        {"index": 0, "delta": {"reasoning_content": "x"}},
        {"index": 0, "delta": {"content": "x"}, "logprobs": {"content": []}},
        {"index": 0, "delta": {"content": "x"}, "token_ids": [7]},
    ],
)
def test_parts_of_an_answer_that_cannot_be_merged_count_as_a_token(choice: dict[str, object]) -> None:
    event = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    assert parse(event) == Raw(event, tokens=1)
    assert merge([parse(event)] * 2) == event * 2


def test_fields_written_as_null_do_not_hinder_merging() -> None:
    def of(text: str) -> bytes:
        written = {"role": None, "content": text, "reasoning_content": None, "tool_calls": None}
        choice = {"index": 0, "delta": written, "finish_reason": None, "token_ids": None}
        return b"data: " + json.dumps({"id": "c", "choices": [choice], "usage": None}).encode() + b"\n\n"

    merged = merge([parse(of("a")), parse(of("b"))])
    assert json.loads(merged.removeprefix(b"data: ")) == json.loads(of("ab").removeprefix(b"data: "))


def test_a_character_sent_in_two_halves_becomes_whole() -> None:
    merged = merge([parse(delta("\ud83d")), parse(delta("\ude00"))])
    assert json.loads(merged.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == "\U0001f600"


def test_order_is_kept_around_what_cannot_be_merged() -> None:
    done = b"data: [DONE]\n\n"
    items: list[Item] = [parse(delta("a")), Raw(b": hi\n\n"), parse(delta("b")), Raw(done)]
    assert merge(items) == delta("a") + b": hi\n\n" + delta("b") + done


def test_deltas_of_other_requests_are_not_mixed() -> None:
    assert merge([parse(delta("a")), parse(delta("b", identifier="c2"))]).count(b"data: ") == 2


@given(noise=st.binary(max_size=400))
def test_noise_never_breaks_the_splitter(noise: bytes) -> None:
    splitter = Splitter()
    passed = merge(list(splitter.feed(noise + b"\n\n"))) + splitter.rest()
    assert len(passed) <= len(noise) + 2


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(ValueError, match="above"):
        list(Splitter().feed(b"x" * (MAX_EVENT_BYTES + 1)))
