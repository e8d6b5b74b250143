"""``tokenflow chat``: piped, and on a terminal."""

import contextlib
from collections.abc import Iterator

import pytest

from e2e.upstream.script import DOCUMENT, SENTENCE
from tests.client.command.support import Terminal, tokenflow

ANSWER = f"{SENTENCE} (0)"


def test_piped_each_line_is_a_message_and_the_output_is_the_answers(url: str) -> None:
    done = tokenflow("chat", url, said="hello\n\n/model json\n/model\nagain\n/quit\nnever\n", env={"LANG": "C.UTF-8"})
    assert done.returncode == 0
    # The separator within the document is no line end, and no control character.
    assert done.stdout.split("\n") == ["", ANSWER, "talking to json", "json", DOCUMENT, ""][1:]
    assert "15 tokens in" in done.stderr
    assert "RTT" in done.stderr


def test_a_terminal_without_unicode_gets_what_it_can_show(url: str) -> None:
    done = tokenflow("chat", url, "--model", "json", said="hello\n", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stdout == DOCUMENT.encode("ascii", errors="replace").decode() + "\n"


def test_a_failed_answer_is_told_and_the_chat_goes_on(url: str) -> None:
    done = tokenflow("chat", url, "--model", "failed-500", said="hello\n/model chat\nhello\n")
    assert done.returncode == 1
    assert "the engine says engine_died" in done.stderr
    assert ANSWER in done.stdout
    broken = tokenflow("chat", "--model", "breaks", said="hello\n", env={"OPENAI_BASE_URL": f"{url}/v1"})
    assert broken.stdout == "The packet went over\n"
    assert "the connection broke" in broken.stderr


def test_an_endpoint_that_is_away_says_what_to_check() -> None:
    done = tokenflow("chat", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "name one with --model" in done.stderr


@pytest.fixture
def terminal(url: str) -> Iterator[Terminal]:
    terminal = Terminal("chat", url, "--model", "endless", "--hints", url, "--tenant", "gold")
    yield terminal
    terminal.close()


def test_the_status_is_live_and_ctrl_c_stops_an_answer_only(terminal: Terminal) -> None:
    terminal.shows("> ")
    terminal.types("hello\n")
    # What the hint service says of the tenant, while the answer runs.
    status = terminal.shows("of 18.5 | batch 4 | Congested | 0 stalls")
    assert "The packet went" in status
    terminal.interrupts()
    terminal.shows("(stopped)")
    terminal.types("/model chat\n")
    terminal.shows("talking to chat")
    terminal.types("hello\n")
    terminal.shows("15 tokens in")
    terminal.types("/quit\n")
    assert terminal.ends() == 0
    assert "\x1b[2m" in terminal.raw


def test_ctrl_c_at_the_prompt_ends_the_chat(terminal: Terminal) -> None:
    terminal.shows("> ")
    terminal.interrupts()
    # Python's input() may overlook a signal in the moment in which it begins, until a line comes.
    with contextlib.suppress(OSError):
        terminal.types("\n")
    assert terminal.ends() == 0


def test_who_wants_no_colours_gets_none(url: str) -> None:
    terminal = Terminal("chat", url, "--model", "chat", env={"NO_COLOR": "1"})
    terminal.shows("> ")
    terminal.types("hello\n")
    terminal.shows("15 tokens in")
    terminal.types("/quit\n")
    assert terminal.ends() == 0
    assert "\x1b[2m" not in terminal.raw
    terminal.close()
