from pathlib import Path

import pytest

from tokenflow_api.projected_tokens import read_token


def test_the_token_comes_without_the_end_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    assert read_token(tmp_path / "token") == "abc"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_what_is_no_token_is_none_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    assert read_token(tmp_path / "token") == ""
    assert "no token for the hint service" in caplog.text
