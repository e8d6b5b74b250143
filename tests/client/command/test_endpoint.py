"""Where completions come from, and by what key."""

from pathlib import Path

import pytest

from tokenflow_client._command.endpoint import base_url, read_key
from tokenflow_client._command.errors import CommandError
from tokenflow_client._command.terminal import printable


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


def test_a_model_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x9b1mc\r\n\td\x07") == "a[2Jb1mc\n\td"
