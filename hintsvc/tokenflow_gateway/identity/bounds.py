"""What a request asks for, checked before it goes any further.

Only what the gateway itself goes by is looked at; all else is the upstream's to judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json

from tokenflow_gateway.admission.estimate import input_tokens
from tokenflow_gateway.errors import InvalidRequestError, UnprocessableRequestError
from tokenflow_gateway.identity.kinds import Kind
from tokenflow_gateway.upstream.affinity import prompt_prefix

MAX_MODEL: Final = 256
"""Characters of a model's name."""
MAX_CHOICES: Final = 128
"""Completions of one prompt."""
MAX_PROMPTS: Final = 2048
"""Prompts of one request."""
MAX_TOKENS: Final = 10**7
"""Above what any model completes; as ``spec.tenants[].maxTokensPerRequest`` is bounded."""

_STREAM_OPTIONS: Final = "stream_options"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the gateway needs to know of a request.

    Attributes:
        kind: of request.
        model: its name.
        stream: whether the answer is to come in events.
        max_tokens: most that each completion may have; ``None`` is as the upstream likes.
        choices: completions asked for, of all prompts together.
        wants_usage: whether the reader asked a stream to tell its usage.
        prefix: tells prompts apart whose beginnings an engine can share; ``None`` without a prompt.
        input_tokens: of the prompt, as estimated.
        given: fields that are there, of those that the gateway may write.
    """

    kind: Kind
    model: str
    stream: bool
    max_tokens: int | None
    choices: int
    wants_usage: bool
    prefix: bytes | None = field(repr=False)
    input_tokens: int
    given: frozenset[str]


def asked(body: bytes, kind: Kind) -> Asked:
    """Return what a body asks for.

    Raises:
        InvalidRequestError: it is no JSON object, or too deep.
        UnprocessableRequestError: a field is missing or of the wrong type; ``param`` names it.
    """
    document = _document(body)
    return Asked(
        kind=kind,
        model=_model(document),
        stream=kind is not Kind.EMBEDDINGS and _flag(document, "stream"),
        max_tokens=_max_tokens(document, kind),
        choices=(_number(document, "n", least=1, most=MAX_CHOICES) or 1) * _prompts(document, kind),
        wants_usage=_wants_usage(document, kind),
        prefix=prompt_prefix(document),
        input_tokens=input_tokens(document),
        given=frozenset(document.keys() & {_STREAM_OPTIONS, *kind.limits}),
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = from_json(body)
    except ValueError as error:
        # Its words hold a place in the body, and nothing of it.
        raise InvalidRequestError(f"the body is not JSON ({error}): send an object with model") from error
    if not isinstance(document, dict):
        raise InvalidRequestError("the body is no JSON object: send an object with model")
    return document


def _model(document: Mapping[str, Any]) -> str:
    model = document.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL:
        raise UnprocessableRequestError(f"model must be a name of 1 to {MAX_MODEL} characters", param="model")
    return model


def _flag(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise UnprocessableRequestError(f"{name} must be true or false", param=name)
    return value is True


def _number(document: Mapping[str, Any], name: str, *, least: int, most: int) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise UnprocessableRequestError(f"{name} must be a whole number from {least} to {most}", param=name)
    return value


def _max_tokens(document: Mapping[str, Any], kind: Kind) -> int | None:
    given = [_number(document, name, least=least, most=MAX_TOKENS) for name, least in kind.limits.items()]
    # Engines heed but one of several, and not all the same one.
    return max((limit for limit in given if limit is not None), default=None)


def _wants_usage(document: Mapping[str, Any], kind: Kind) -> bool:
    if kind is Kind.RESPONSES:
        # Its last event tells the usage in any case.
        return True
    options = document.get(_STREAM_OPTIONS)
    if options is None:
        return False
    if not isinstance(options, dict):
        raise UnprocessableRequestError(f"{_STREAM_OPTIONS} must be an object", param=_STREAM_OPTIONS)
    return _flag(options, "include_usage")


def _prompts(document: Mapping[str, Any], kind: Kind) -> int:
    """Return the number of prompts, each of which is completed by itself."""
    prompt = document.get(kind.prompt)
    if kind is Kind.CHAT:
        if not isinstance(prompt, list) or not prompt or not all(isinstance(message, dict) for message in prompt):
            raise UnprocessableRequestError("messages must be a list of at least one message", param=kind.prompt)
        return 1
    if prompt is None and kind is Kind.RESPONSES:
        # It may build on a stored prompt alone.
        return 1
    if not isinstance(prompt, str | list) or prompt == []:
        raise UnprocessableRequestError(f"{kind.prompt} must be a text, or a list that is not empty", param=kind.prompt)
    if kind is not Kind.COMPLETIONS or isinstance(prompt, str) or isinstance(prompt[0], int):
        # A list of numbers is one prompt, in tokens.
        return 1
    if len(prompt) > MAX_PROMPTS:
        raise UnprocessableRequestError(f"{kind.prompt} may hold at most {MAX_PROMPTS} prompts", param=kind.prompt)
    return len(prompt)
