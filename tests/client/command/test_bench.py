"""``tokenflow bench`` against an engine."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.upstream.scripted import Engine
from tests.client.command.support import Running, tokenflow
from tokenflow_client._command.main import main

SENTENCE_TOKENS = 15
LOAD = ("--rate", "20", "--duration", "1", "--output", "20")


def test_a_report_has_the_figures_of_all_requests(url: str) -> None:
    done = tokenflow("bench", f"{url}/v1", "--model", "chat", *LOAD, "--tenant", "a", "--tenant", "b", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["requests"] > 5
    assert found["tokens"] == SENTENCE_TOKENS * found["requests"]
    assert found["errors"] == {}
    assert 0.0 < found["first_token"]["p50"] < found["completion"]["p50"]
    assert [reader["rate"] for reader in found["readers"]] == [5.0, 10.0, 20.0]
    assert 0.0 < found["fairness"] <= 1.0
    assert found["generator"]["never_started"] == 0


@pytest.mark.parametrize(
    ("model", "options", "error"),
    [
        ("refused-429", (), "429 rate_limit_exceeded"),
        ("breaks", (), "broken off"),
        ("slow", ("--timeout", "0.2"), "timeout"),
    ],
)
def test_errors_are_counted_by_what_they_are(url: str, model: str, options: tuple[str, ...], error: str) -> None:
    done = tokenflow("bench", url, "--model", model, "--rate", "20", "--duration", "0.3", *options, "--json")
    assert done.returncode == 1
    assert set(json.loads(done.stdout)["errors"]) == {error}


def test_ctrl_c_tells_what_is_known_so_far(url: str, engine: Engine, run: Callable[..., Running]) -> None:
    before = engine.asked["endless"]
    running = run("bench", url, "--model", "endless", "--rate", "50", "--duration", "60")
    running.until(lambda _, __: engine.asked["endless"] > before)
    status, out, error = running.interrupts()
    assert status == 130
    assert "0 requests in" in out
    assert "interrupted" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bench", "localhost:8000", "--model", "m"], "write one such as http://localhost:8000"),
        (["bench", "http://a", "--model", "m", "--rate", "0"], "write a number above 0"),
        (["bench", "http://a", "--model", "m", "--output", "long"], "write 256, 64-512 or lognormal"),
        (["bench", "http://a", "--model", "m", "--variation", "1e200"], "write a number from 0.01 to 100"),
        (["bench", "http://a"], "--model"),
        (["chat", "here"], "is no URL of a web server"),
        (["sing"], "hints"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_key_that_cannot_be_read_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["bench", "http://a", "--model", "m", "--api-key-file"]
    assert main([*command, str(tmp_path / "none")]) == 1
    assert "the API key cannot be read" in capsys.readouterr().err
    (tmp_path / "empty").touch()
    assert main([*command, str(tmp_path / "empty")]) == 1
    assert "holds no API key" in capsys.readouterr().err


def test_nothing_to_do_and_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "http://127.0.0.1:9", "--model", "m", "--rate", "0.001", "--duration", "0.001"]) == 1
    assert "raise --rate or --duration" in capsys.readouterr().err
    assert main(["bench", "http://127.0.0.1:9", "--model", "m", "--rate", "1e9"]) == 1
    assert "lower --rate or --duration" in capsys.readouterr().err
    assert main(["bench", "http://127.0.0.1:9", "--model", "m", "--rate", "50", "--duration", "0.1"]) == 1
    assert "unreachable" in capsys.readouterr().out
