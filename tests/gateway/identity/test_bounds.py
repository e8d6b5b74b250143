"""What a request asks for, and what is refused before anything is sent on."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_gateway.errors import GatewayError, InvalidRequestError, UnprocessableRequestError
from tokenflow_gateway.identity.bounds import Asked, asked
from tokenflow_gateway.identity.kinds import Kind

BASES: dict[Kind, dict[str, Any]] = {
    Kind.CHAT: {"model": "llama-3", "messages": [{"role": "user", "content": "Hello"}]},
    Kind.COMPLETIONS: {"model": "m", "prompt": "Hello"},
    Kind.EMBEDDINGS: {"model": "m", "input": "x"},
    Kind.RESPONSES: {"model": "m", "input": "x"},
}


def of(kind: Kind = Kind.CHAT, **fields: object) -> Asked:
    return asked(json.dumps(BASES[kind] | fields).encode(), kind)


def understood(body: bytes, kind: Kind) -> int:
    """Return 200, or the status of the refusal."""
    try:
        asked(body, kind)
    except GatewayError as error:
        return error.status
    return 200


def test_what_the_gateway_goes_by_is_read() -> None:
    chat = of(stream=True, max_tokens=500, max_completion_tokens=400, n=2, stream_options={"include_usage": True})
    # An engine may go by either: a small one must not hide a great one.
    assert (chat.model, chat.stream, chat.max_tokens, chat.choices, chat.wants_usage) == ("llama-3", True, 500, 2, True)
    assert chat.prefix is not None
    assert chat.input_tokens > 0


def test_what_is_left_out_or_null_is_as_the_upstream_likes() -> None:
    for chat in (of(), of(stream=None, max_tokens=None, n=None, stream_options=None)):
        assert (chat.stream, chat.max_tokens, chat.choices, chat.wants_usage) == (False, None, 1, False)


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [("Hello", 3), (["Hello"], 3), (["Hello", "you"], 6), ([1, 2, 3], 3), ([[1, 2], [3]], 6)],
)
def test_each_prompt_is_completed_as_often_as_asked(prompt: object, choices: int) -> None:
    assert of(Kind.COMPLETIONS, prompt=prompt, n=3).choices == choices


def test_a_completion_may_be_of_nothing_to_tell_of_its_prompt() -> None:
    assert of(Kind.COMPLETIONS, max_tokens=0).max_tokens == 0


def test_embeddings_are_no_stream_and_responses_always_tell_their_usage() -> None:
    assert not of(Kind.EMBEDDINGS, input=["a", "b"]).stream
    response = of(Kind.RESPONSES, stream=True, max_output_tokens=9)
    assert (response.stream, response.max_tokens, response.wants_usage) == (True, 9, True)
    assert asked(b'{"model": "m", "prompt": {"id": "p"}}', Kind.RESPONSES).choices == 1


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'"text"', b'{"model":', b"[" * 5000, b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        asked(body, Kind.CHAT)
    assert caught.value.status == 400


def test_a_body_that_is_too_deep_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        of(metadata=json.loads("[" * 300 + "]" * 300))


@pytest.mark.parametrize(
    ("kind", "fields", "param"),
    [
        (Kind.CHAT, {"model": None}, "model"),
        (Kind.CHAT, {"model": ""}, "model"),
        (Kind.CHAT, {"model": "m" * 257}, "model"),
        (Kind.CHAT, {"model": 7}, "model"),
        (Kind.CHAT, {"messages": None}, "messages"),
        (Kind.CHAT, {"messages": []}, "messages"),
        (Kind.CHAT, {"messages": "Hello"}, "messages"),
        (Kind.CHAT, {"messages": ["Hello"]}, "messages"),
        (Kind.CHAT, {"stream": "true"}, "stream"),
        (Kind.CHAT, {"stream": 1}, "stream"),
        (Kind.CHAT, {"max_tokens": 0}, "max_tokens"),
        (Kind.CHAT, {"max_tokens": True}, "max_tokens"),
        (Kind.CHAT, {"max_tokens": 1.5}, "max_tokens"),
        (Kind.CHAT, {"max_completion_tokens": 10**9}, "max_completion_tokens"),
        (Kind.CHAT, {"n": 0}, "n"),
        (Kind.CHAT, {"n": 129}, "n"),
        (Kind.CHAT, {"stream_options": True}, "stream_options"),
        (Kind.CHAT, {"stream_options": {"include_usage": "yes"}}, "include_usage"),
        (Kind.COMPLETIONS, {"prompt": None}, "prompt"),
        (Kind.COMPLETIONS, {"prompt": []}, "prompt"),
        (Kind.COMPLETIONS, {"prompt": ["x"] * 2049}, "prompt"),
        (Kind.COMPLETIONS, {"max_tokens": -1}, "max_tokens"),
        (Kind.EMBEDDINGS, {"input": {}}, "input"),
        (Kind.RESPONSES, {"input": 7}, "input"),
        (Kind.RESPONSES, {"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_a_field_that_no_upstream_could_take_is_named(kind: Kind, fields: dict[str, object], param: str) -> None:
    with pytest.raises(UnprocessableRequestError) as caught:
        of(kind, **fields)
    assert (caught.value.status, caught.value.param) == (422, param)


def test_refusals_repeat_nothing_of_what_was_said() -> None:
    with pytest.raises(GatewayError) as caught:
        asked(b'{"messages": [{"content": "my secret" oops}]}', Kind.CHAT)
    assert "secret" not in caught.value.message
    assert "secret" not in repr(of(messages=[{"role": "user", "content": "my secret"}]))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["model", "messages", "prompt", "input", "n", "stream", "stream_options", "max_tokens"])
                | st.text(),
                inner,
            )
        ),
    ),
    st.sampled_from(Kind),
)
def test_any_document_is_understood_or_refused_in_words(document: object, kind: Kind) -> None:
    assert understood(json.dumps(document).encode(), kind) in (200, 400, 422)


@given(st.binary())
def test_any_bytes_are_understood_or_refused_in_words(body: bytes) -> None:
    assert understood(body, Kind.CHAT) in (400, 422)
