"""The log lines of all programs: their form, and what they must not hold."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from tokenflow_api.logs import JsonFormatter


def line(message: str, *, context: dict[str, str] | None = None, **extra: object) -> str:
    record = logging.makeLogRecord({"name": "tokenflow.test", "levelname": "INFO", "msg": message, **extra})
    return JsonFormatter(component="hintsvc", context=lambda: context or {}).format(record)


def fields(text: str) -> Any:
    return json.loads(text)


def test_a_line_is_a_json_object_with_the_fields_of_its_work() -> None:
    read = fields(line("served", context={"trace_id": "4bf9"}, tenant="gold"))
    assert read.pop("at")
    assert read == {
        "level": "info",
        "component": "hintsvc",
        "logger": "tokenflow.test",
        "message": "served",
        "trace_id": "4bf9",
        "tenant": "gold",
    }


@pytest.mark.parametrize(
    ("said", "logged"),
    [
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [redacted]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic [redacted]"),
        ("Redis: redis://user:hunter2@redis:6379/0 is away", "Redis: redis://[redacted]@redis:6379/0 is away"),
        ("redis://:p@ss@redis:6379", "redis://[redacted]@redis:6379"),
        ("GET http://hints/v1?api_key=k3y&path=a", "GET http://hints/v1?api_key=[redacted]&path=a"),
        ("token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln refused", "token [redacted] refused"),
        ("key sk-abcdefghijklmnop1234 refused", "key sk-[redacted] refused"),
        ("key tfk_bench-abcdefghijklmnop1234 refused", "key tfk_[redacted] refused"),
        ("a bearer token proves nothing", "a bearer token proves nothing"),
        ("mail ops@example.org, see http://docs/page", "mail ops@example.org, see http://docs/page"),
    ],
)
def test_secrets_are_told_by_their_form(said: str, logged: str) -> None:
    assert fields(line(said))["message"] == logged


@pytest.mark.parametrize("name", ["authorization", "api_key", "apikey", "password", "client_secret", "cookie", "token"])
def test_secrets_are_told_by_the_name_of_their_field(name: str) -> None:
    assert fields(line("x", **{name: "abc"}))[name] == "[redacted]"


@pytest.mark.parametrize("name", ["tokens", "tenant", "max_tokens", "key", "generation"])
def test_other_fields_stay(name: str) -> None:
    assert fields(line("x", **{name: "abc"}))[name] == "abc"


def test_a_traceback_is_redacted_too() -> None:
    error = ConnectionError("redis://user:hunter2@redis:6379/0 refused")
    text = line("lost", exc_info=(type(error), error, None))
    assert "hunter2" not in text
    assert "redis:6379/0 refused" in fields(text)["error"]


def test_what_is_nested_is_redacted_too() -> None:
    text = line("x", reason={"url": "http://user:hunter2@host"}, words=["Bearer abcdefgh12345678"])
    assert fields(text)["reason"] == {"url": "http://[redacted]@host"}
    assert fields(text)["words"] == ["Bearer [redacted]"]


def test_the_last_words_of_a_program_are_a_line_like_all_others() -> None:
    program = (
        "from tokenflow_api import logs; logs.configure(component='x');"
        "raise ExceptionGroup('unhandled', [OSError('redis://user:hunter2@redis is away')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (words,) = done.stderr.splitlines()
    assert fields(words)["message"] == "ended by a fault"
    assert "redis://[redacted]@redis is away" in fields(words)["error"]
