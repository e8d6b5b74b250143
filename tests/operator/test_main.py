import subprocess
import sys

import pytest

from tokenflow_operator.command_line import installation, parser


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tokenflow_operator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_it_tells_of_itself(flag: str) -> None:
    assert _run(flag).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [["--no-such-flag"], ["--port", "x"], ["--image-pull-policy", "Sometimes"], ["--monitoring-labels", "release"]],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    assert _run(*arguments).returncode == 2


def test_a_start_without_credentials_fails_with_a_remedy(tmp_path) -> None:
    ended = _run("--kubeconfig", str(tmp_path / "absent"), "--port", "0", "--metrics-port", "0")
    assert ended.returncode == 1
    assert "--kubeconfig" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_labels_of_monitors_are_told_in_pairs() -> None:
    arguments = parser({}).parse_args(["--monitoring-labels", "release=kps,team=llm"])
    assert installation(arguments).monitoring.labels == {"release": "kps", "team": "llm"}
    assert installation(parser({}).parse_args([])).monitoring.labels == {}
