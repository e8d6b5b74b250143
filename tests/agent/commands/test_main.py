"""The command line as a whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tokenflow_agent.__main__ import main
from tokenflow_agent.commands.grammar import parser
from tokenflow_api.runtime import AGENT_CONFIG_KEY
from tokenflow_operator.plan import daemonset, names


def test_flags_alone_run_the_agent_as_the_daemon_set_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "n1")
    arguments = parser().parse_args(["--config-file=/c/agent.json", "--port=9436"])
    assert arguments.command == "run"
    assert arguments.config_file == Path("/c/agent.json")
    assert arguments.pod_logs == Path("/host/var/log/pods")
    assert (arguments.node, arguments.port, arguments.log_level) == ("n1", 9436, None)


def test_a_command_in_the_pod_looks_where_the_daemon_set_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG_FILE", "TOKEN_FILE", "CGROUP_ROOT", "POD_LOGS", "SPOOL_DIR", "PORT"):
        monkeypatch.delenv(f"TOKENFLOW_{name}", raising=False)
    arguments = vars(parser().parse_args(["doctor"]))
    assert {name: str(arguments[name]) for name in ("config_file", "token_file", "port")} == {
        "config_file": f"{names.AGENT_DIR}/{AGENT_CONFIG_KEY}",
        "token_file": names.TOKEN_FILE,
        "port": str(names.AGENT_PORT),
    }
    assert {name: str(arguments[name]) for name in ("cgroup_root", "pod_logs", "spool_dir")} == {
        "cgroup_root": daemonset._CGROUPS,
        "pod_logs": daemonset._POD_LOGS,
        "spool_dir": daemonset._SPOOL,
    }


@pytest.mark.parametrize("words", [["--config-file=/c", "run"], ["run", "--config-file=/c"]])
def test_flags_may_stand_on_either_side_of_the_command(words: list[str]) -> None:
    assert parser().parse_args(words).config_file == Path("/c")


def test_a_usage_error_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["frobnicate"])
    assert exit_.value.code == 2
    assert "frobnicate" in capsys.readouterr().err


def test_a_config_that_is_missing_exits_with_1_and_its_path(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--config-file", str(tmp_path / "none.json")]) == 1
    assert f"{tmp_path}/none.json cannot be read" in capsys.readouterr().err


def test_the_running_agent_imports_nothing_of_the_other_commands() -> None:
    words = "import sys, json; import tokenflow_agent.commands.run; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, check=True)
    modules = set(json.loads(done.stdout))
    assert modules.isdisjoint({"rich", "pyarrow", "bcc", "numpy"})
    commands = {name for name in modules if name.startswith("tokenflow_agent.commands.")}
    assert commands == {"tokenflow_agent.commands.run"}
