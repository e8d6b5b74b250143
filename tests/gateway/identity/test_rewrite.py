"""Bodies are changed in one field and nowhere else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_gateway.identity.bounds import asked
from tokenflow_gateway.identity.kinds import Kind
from tokenflow_gateway.identity.rewrite import with_max_tokens, with_usage

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OTHERS = st.dictionaries(
    TEXT.filter(lambda name: name not in {"model", "messages", "stream", "n", "max_tokens", "max_completion_tokens"}),
    VALUES,
    max_size=4,
).filter(lambda fields: "stream_options" not in fields)
LIMIT = st.none() | st.integers(1, 10_000)


@st.composite
def bodies(draw: st.DrawFn, /, **fields: st.SearchStrategy[Any]) -> bytes:
    """A chat request with these fields, each there or not, among others and in any order and spacing."""
    document = draw(OTHERS) | {"model": "llama-3", "messages": [{"role": "user", "content": draw(TEXT)}]}
    document |= {name: draw(values) for name, values in fields.items() if draw(st.booleans())}
    ordered = dict(draw(st.permutations(list(document.items()))))
    text = json.dumps(ordered, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans()))
    return (draw(st.sampled_from(["", " ", "\n"])) + text + draw(st.sampled_from(["", "\r\n"]))).encode()


def without(body: bytes, *names: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(body).items() if name not in names}


@given(bodies(max_tokens=LIMIT, max_completion_tokens=LIMIT), st.integers(1, 10_000))
def test_a_lowered_limit_changes_no_other_field(body: bytes, most: int) -> None:
    before, written = asked(body, Kind.CHAT), with_max_tokens(body, asked(body, Kind.CHAT), most=most)
    assert without(written, "max_tokens", "max_completion_tokens") == without(
        body, "max_tokens", "max_completion_tokens"
    )
    assert asked(written, Kind.CHAT).max_tokens == min(most, before.max_tokens or most)


@given(bodies(stream=st.booleans() | st.none(), stream_options=st.none() | st.just({"continuous_usage_stats": True})))
def test_a_stream_is_made_to_tell_its_usage_and_nothing_else_changes(body: bytes) -> None:
    before = asked(body, Kind.CHAT)
    written = with_usage(body, before)
    assert without(written, "stream_options") == without(body, "stream_options")
    assert asked(written, Kind.CHAT).wants_usage == before.stream
    options = json.loads(body).get("stream_options") or {}
    if before.stream:
        assert json.loads(written)["stream_options"] == options | {"include_usage": True}


def test_other_bytes_stay_as_they_came() -> None:
    body = b' { "model":"m" , "seed": 1.50, "messages":[ {"a":"\\u00e9"} ],"stream" :true, "max_tokens"  :  900 }\n'
    told = with_usage(body, asked(body, Kind.CHAT))
    assert told == body[:-3] + b' ,"stream_options":{"include_usage":true}}'
    lowered = with_max_tokens(body, asked(body, Kind.CHAT), most=16)
    assert lowered == body.replace(b"900", b"16")


def test_a_field_that_comes_twice_is_lowered_twice() -> None:
    body = b'{"model":"m","max_tokens":900,"messages":[{}],"max_tokens":100}'
    lowered = with_max_tokens(body, asked(body, Kind.CHAT), most=16)
    assert lowered == b'{"model":"m","max_tokens":16,"messages":[{}],"max_tokens":16}'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.EMBEDDINGS, b'{"model":"m","input":"x"}'),
        (Kind.CHAT, b'{"model":"m","messages":[{}],"max_tokens":5}'),
        (Kind.RESPONSES, b'{"model":"m","input":"x","stream":true,"max_output_tokens":5}'),
    ],
)
def test_what_needs_no_change_is_the_same(kind: Kind, body: bytes) -> None:
    assert with_max_tokens(with_usage(body, asked(body, kind)), asked(body, kind), most=16) == body


def test_a_response_is_bounded_by_its_own_field() -> None:
    body = b'{"model":"m","input":"x"}'
    assert with_max_tokens(body, asked(body, Kind.RESPONSES), most=16) == (
        b'{"model":"m","input":"x","max_output_tokens":16}'
    )
