"""Where completions come from, and by what key."""

import io
from pathlib import Path

import pytest

from tokenflow_client._command.endpoint import Endpoint, base_url, read_key
from tokenflow_client._command.errors import CommandError
from tokenflow_client._command.main import main
from tokenflow_client._command.terminal import StatusLine, printable


@pytest.mark.parametrize("text", ["http://a:8000", "http://a:8000/", "http://a:8000/v1", "http://a:8000/v1/"])
def test_a_url_may_be_written_with_or_without_v1(text: str) -> None:
    assert base_url(text) == "http://a:8000"


@pytest.mark.parametrize("text", ["a:8000", "ftp://a", "http://", "http://a:port", ""])
def test_what_is_no_web_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no URL"):
        base_url(text)


def test_a_file_has_the_first_word_and_our_variable_the_second(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    environment = {"OPENAI_API_KEY": "openai", "TOKENFLOW_API_KEY": "ours"}
    assert read_key(tmp_path / "key", environment=environment) == "from-file"
    assert read_key(None, environment=environment) == "ours"
    assert read_key(None, environment={"OPENAI_API_KEY": "openai"}) == "openai"
    assert read_key(None, environment={}) == ""
    with pytest.raises(CommandError, match="cannot be read"):
        read_key(tmp_path, environment=environment)


def test_what_no_header_can_carry_is_refused_and_the_key_is_told_to_nobody() -> None:
    with pytest.raises(CommandError, match="stray line end") as refused:
        Endpoint(url="http://a", api_key="two\nlines")
    assert "two" not in str(refused.value)
    with pytest.raises(CommandError, match="'gölt' is no name of a tenant"):
        Endpoint(url="http://a", tenant="gölt")


@pytest.mark.parametrize("command", [["hints", "--tenant", "gold"], ["bench", "--model", "m"], ["chat"]])
def test_an_environment_that_httpx_cannot_follow_is_told(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
    name, *options = command
    assert main([name, "http://127.0.0.1:9", *options]) == 1
    assert "look at SSL_CERT_FILE and the proxies in the environment" in capsys.readouterr().err


def test_a_gateway_cannot_steer_the_terminal_by_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "24")
    screen = Screen()
    with StatusLine(screen) as status:
        status.show("a\x9b2Jb\x1b[2Jc")
    assert "a2Jb[2Jc" in screen.getvalue()


def test_a_model_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x9b1mc\r\n\td\x07") == "a[2Jb1mc\n\td"
