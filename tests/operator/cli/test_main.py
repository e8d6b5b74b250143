"""The command line of the plugin: what it takes, how it ends, how soon it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.operator.cli.stand_in import stand_in
from tests.operator.running import ROOT
from tokenflow_operator.cli.__main__ import main

COMMANDS = ("status", "top", "explain", "simulate", "rollout")


@pytest.mark.parametrize(
    "line", [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS), ["rollout", "undo", "--help"]]
)
def test_it_tells_of_itself(line: list[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(line)


@pytest.mark.parametrize(
    "line",
    [[], ["states"], ["status", "-o", "yaml"], ["explain"], ["simulate"], ["rollout"], ["top", "--interval", "0"]],
)
def test_a_wrong_command_line_ends_with_2(line: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(line)


@pytest.mark.parametrize(
    "line", [["-n", "llm", "status"], ["status", "-n", "llm"], ["-n", "other", "status", "-n", "llm"]]
)
def test_where_to_look_may_be_said_before_or_after_the_command(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = f"""echo "$@" >{tmp_path}/arguments; echo '{{"items": []}}'"""
    with stand_in(tmp_path, script):
        assert main(line) == 0
    assert "--namespace=llm" in (tmp_path / "arguments").read_text()
    assert "look everywhere with -A" in capsys.readouterr().out


def test_what_kubectl_complains_of_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stand_in(tmp_path, "echo 'Error from server (Forbidden): no' >&2; exit 1"):
        assert main(["status"]) == 1
    assert capsys.readouterr().err == "kubectl tokenflow: Error from server (Forbidden): no\n"


def test_the_documentation_has_every_command() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [command for command in COMMANDS if f"`kubectl tokenflow {command}" not in page] == []
    assert "rollout pause\\|resume\\|undo\\|retry" in page


def test_looking_needs_no_library_that_is_slow_to_load() -> None:
    slow = ("kopf", "kubernetes", "aiohttp")
    code = f"import sys, tokenflow_operator.cli.__main__; print([name for name in {slow} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout == "[]\n"
