"""Whole answers: JSON, and errors in OpenAI's form."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.front.exchange import Answer

JSON: Final = {"Content-Type": "application/json"}


def whole(answer: Answer, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """Send an answer in one piece."""
    answer.start(status, headers)
    answer.write(body)
    answer.finish()


def document(answer: Answer, content: Mapping[str, Any], *, status: int = HTTPStatus.OK) -> None:
    """Send a JSON document."""
    whole(answer, status, json.dumps(content).encode(), {**JSON, "Cache-Control": "no-store"})


def refusal(answer: Answer, error: GatewayError, *, trace_id: str) -> None:
    """Send an error; where the answer has begun, break it off instead."""
    if answer.started:
        answer.abort()
    else:
        whole(answer, error.status, error.body(trace_id=trace_id).encode(), {**JSON, **error.headers()})
