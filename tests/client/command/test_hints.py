"""``tokenflow hints``: once, and as they change."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.command.support import Running, tokenflow
from tokenflow_client._command.main import main

KEY = {"TOKENFLOW_API_KEY": "tf-key"}


def test_the_hint_of_a_tenant(url: str, tmp_path: Path) -> None:
    done = tokenflow("hints", url, "--tenant", "gold", env=KEY)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split() == [
        "gold", "*", "18.5", "4", "Congested", "75%", "Admit", "RTTInflation",
    ]  # fmt: skip
    elsewhere = tokenflow("hints", "--tenant", "gold", env=KEY | {"TOKENFLOW_HINT_URL": url})
    assert elsewhere.stdout == done.stdout
    file = tmp_path / "key"
    file.write_text("tf-key\n")
    as_json = tokenflow("hints", url, "--tenant", "gold", "--json", "--api-key-file", str(file))
    assert json.loads(as_json.stdout)["hint"]["tokens_per_second"] == 18.5


def test_a_refusal_is_told_with_its_remedy(url: str) -> None:
    done = tokenflow("hints", url, "--tenant", "gold")
    assert done.returncode == 1
    assert "401: no credential was shown: send an API key" in done.stderr


def test_a_name_stays_within_its_part_of_the_address(url: str) -> None:
    done = tokenflow("hints", url, "--tenant", "../hints/gold?")
    assert "/v1/hints/..%2Fhints%2Fgold%3F answered 401" in done.stderr


def test_what_is_missing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hints", "http://127.0.0.1:9"]) == 1
    assert "name whose hint" in capsys.readouterr().err
    assert main(["hints", "http://127.0.0.1:9", "--tenant", "gold"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(("tenant", "expected"), [((), ["gold", "silver"]), (("--tenant", "gold"), ["gold"])])
def test_hints_are_followed_until_ctrl_c(
    url: str, run: Callable[..., Running], tenant: tuple[str, ...], expected: list[str]
) -> None:
    running = run("hints", url, "--watch", "--json", *tenant)
    running.until(lambda out, _: out.count("\n") > 3)
    status, out, error = running.interrupts()
    assert (status, error) == (0, "")
    snapshots = [json.loads(line) for line in out.splitlines()]
    assert [hint["tenant"] for hint in snapshots[0]["hints"]] == expected
    assert [snapshot["version"] for snapshot in snapshots] == list(range(1, len(snapshots) + 1))


def test_whoever_watches_is_told_why_nothing_comes(url: str, run: Callable[..., Running]) -> None:
    running = run("hints", f"{url}/nothing", "--watch")
    running.until(lambda _, error: "trying again" in error)
    status, out, error = running.interrupts()
    assert (status, out) == (0, "")
    assert "answered 404" in error
