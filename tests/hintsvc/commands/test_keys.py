"""``tokenflow-hintsvc keys``."""

import io
import time

import pytest

from tokenflow_api.api_keys import digest_of, parse_line
from tokenflow_hintsvc.__main__ import main


def test_a_fresh_key_comes_with_the_line_for_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "--expires", "90d"]) == 0
    key, line = capsys.readouterr().out.splitlines()
    stored = parse_line(line, tenant="gold", name="first")
    assert stored.digest == digest_of(key)
    assert stored.not_after == pytest.approx(time.time() + 90 * 86_400, abs=60)


def test_a_key_of_ones_own_is_hashed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-gold\n"))
    assert main(["keys", "hash"]) == 0
    line = capsys.readouterr().out.strip()
    assert line == "sha256:83a9d60338d134e3e8f33851f115498635f1090262307ce959b86e5eee88bb90"


@pytest.mark.parametrize("text", ["", "two words", "schlüssel", "x" * 600])
def test_what_is_no_key_is_refused(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["keys", "hash"]) == 1
    assert capsys.readouterr().err.startswith("tokenflow-hintsvc: ")


@pytest.mark.parametrize("period", ["90", "0d", "-1d", "d", "forever"])
def test_a_period_has_a_number_and_a_unit(period: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["keys", "new", "--expires", period])
    assert caught.value.code == 2
    assert "90d" in capsys.readouterr().err
