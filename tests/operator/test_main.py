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


def test_it_carries_no_cryptography_without_a_webhook() -> None:
    program = "import sys, tokenflow_operator.__main__; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    carried = set(done.stdout.splitlines())
    assert "tokenflow_operator.webhook.keeper" in carried
    assert "cryptography" not in carried


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-such-flag"], "unrecognized arguments"),
        (["--port", "x"], "invalid int value"),
        (["--image-pull-policy", "Sometimes"], "invalid choice"),
        (["--monitoring-labels", "release"], "write name=value"),
        (["--resync", "5x"], "write hours, minutes, seconds or ms"),
        (["--resync", "0s"], "write 1s or longer"),
        (["--workers", "0"], "write 1 or more"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser({}).parse_args(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_start_without_credentials_fails_with_a_remedy(tmp_path) -> None:
    ended = _run("--kubeconfig", str(tmp_path / "absent"), "--port", "0", "--metrics-port", "0")
    assert ended.returncode == 1
    assert "--kubeconfig" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_labels_of_monitors_are_told_in_pairs() -> None:
    arguments = parser({}).parse_args(["--monitoring-labels", "release=kps,team=llm"])
    assert installation(arguments).monitoring.labels == {"release": "kps", "team": "llm"}
    assert installation(parser({}).parse_args([])).monitoring.labels == {}
