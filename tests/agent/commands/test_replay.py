"""``tokenflow-agent replay`` as a user calls it."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests.agent.commands.rows import rows
from tests.agent.commands.support import Agent, Reply, batch, serving
from tokenflow_agent.__main__ import main
from tokenflow_agent.commands import replay
from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.commands.player import restamped
from tokenflow_agent.commands.recording.reading import read
from tokenflow_api.codec import decode
from tokenflow_api.telemetry import BatchReply, TelemetryBatch

WINDOWS = [
    batch(3, tcp=rows("tcp", {"segments": 5, "rtt_p50_us": 800}), gpu=rows("gpu", {"uuid": "a"}, {"uuid": "b"})),
    batch(4),
    batch(5, tcp=rows("tcp", {"segments": 6}, {"segments": 7})),
]


class HintService:
    """Takes windows; answers the first ones as it is told."""

    def __init__(self, *answers: Reply) -> None:
        self.answers = list(answers)
        self.got: list[TelemetryBatch] = []

    def reply(self, path: str, body: bytes) -> Reply:
        assert path == "/v1/telemetry"
        if self.answers:
            return self.answers.pop(0)
        self.got.append(decode(body, TelemetryBatch))
        reply = BatchReply(sequence=self.got[-1].sequence, received_at_unix_ms=1)
        return Reply(body=reply.model_dump_json().encode())


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    with serving(Agent(WINDOWS).reply) as url:
        assert main(["record", str(tmp_path / "all"), "--url", url, "--duration", "1ms"]) == 0
    return tmp_path / "all"


@pytest.fixture
def token(tmp_path: Path) -> str:
    (tmp_path / "token").write_text("secret")
    return str(tmp_path / "token")


def test_a_hint_service_gets_the_recording(recording: Path, token: str) -> None:
    service = HintService(Reply(503))
    with serving(service.reply) as url:
        assert main(["replay", str(recording), "--to", url, "--token-file", token, "--speed", "1000"]) == 0
    assert [one.sequence for one in service.got] == [1, 2, 3]
    assert {one.boot_id for one in service.got} != {"boot"}
    back = [restamped(new, at_unix_ms=old.sent_at_unix_ms) for new, old in zip(service.got, WINDOWS, strict=True)]
    for table in TABLES:
        assert [getattr(one, table) for one in back] == [getattr(one, table) for one in WINDOWS]


def test_what_was_replayed_can_be_recorded_again(recording: Path, token: str, tmp_path: Path) -> None:
    service = HintService()
    with serving(service.reply) as url:
        flags = ["--to", url, "--token-file", token, "--speed", "1000", "--as-node", "lab"]
        assert main(["replay", str(recording), *flags]) == 0
    with serving(Agent(service.got).reply) as url:
        assert main(["record", str(tmp_path / "again"), "--url", url, "--duration", "1ms"]) == 0
    assert [one.node for one in read(tmp_path / "again")] == ["lab", "lab", "lab"]
    assert list(read(tmp_path / "again")) == [
        new.model_copy(update={"clock_error_ms": None, "clock_offset_ms": 0}) for new in service.got
    ]


def test_a_window_that_is_refused_makes_it_fail(
    recording: Path, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = HintService(Reply(400, b"no such schema"))
    with serving(service.reply) as url:
        assert main(["replay", str(recording), "--to", url, "--token-file", token, "--speed", "1000"]) == 1
    assert [one.sequence for one in service.got] == [2, 3]
    assert "windows: 1 refused, 2 sent" in capsys.readouterr().err


def test_nobody_there_ends_it(
    recording: Path, token: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "GIVE_UP_S", 0.02)
    monkeypatch.setattr(replay, "LOOK_S", 0.01)
    with serving(lambda _, __: Reply()) as url:
        pass
    assert main(["replay", str(recording), "--to", url, "--token-file", token]) == 1
    words = capsys.readouterr().err
    assert "nothing was taken for" in words
    assert url in words


def test_a_damaged_recording_ends_it(recording: Path, token: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = recording / "tcp.csv"
    file.write_text(file.read_text()[:-60])
    with serving(HintService().reply) as url:
        assert main(["replay", str(recording), "--to", url, "--token-file", token, "--speed", "1000"]) == 1
    assert "tcp.csv line" in capsys.readouterr().err


async def test_ctrl_c_ends_it_and_says_what_was_sent(recording: Path, token: str) -> None:
    service = HintService()
    taken = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reply(path: str, body: bytes) -> Reply:
        if service.got:
            loop.call_soon_threadsafe(taken.set)
        return service.reply(path, body)

    with serving(reply) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tokenflow_agent", "replay", str(recording), "--to", url, "--token-file", token),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            await taken.wait()
            process.send_signal(signal.SIGINT)
            _, words = await process.communicate()
    assert process.returncode == 130
    assert "sent" in words.decode()
    assert "Traceback" not in words.decode()


def test_dry_run_counts(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recording), "--dry-run", "--speed", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "3 windows of n1 over 2 s; they are sent within 1 s",
        "tcp           3 rows",
        "gpu           2 rows",
    ]


def test_without_a_token_it_says_how_to_get_one(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--to", "http://127.0.0.1:1", "--token-file", "/none"]
    assert main(["replay", str(recording), *flags]) == 2
    assert "kubectl create token" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--to", "nonsense"], ["--to", "http://a", "--speed", "0"], []])
def test_usage_errors_exit_with_2(recording: Path, flags: list[str]) -> None:
    try:
        status: object = main(["replay", str(recording), *flags])
    except SystemExit as exit_:
        status = exit_.code
    assert status == 2
