"""The commands, from telemetry to a registry."""

import asyncio
import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.hintsvc.learn.conftest import TELEMETRY
from tests.hintsvc.support import RedisServer
from tokenflow_hintsvc.__main__ import main
from tokenflow_hintsvc.learn import folder, sources
from tokenflow_hintsvc.learn.model import Bundle
from tokenflow_hintsvc.store.audit import AuditLog
from tokenflow_hintsvc.store.connection import Connection


def test_train_then_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", str(TELEMETRY), "--out", str(tmp_path), "--version", "v1"]) == 0
    assert "median-of-last-ten" in capsys.readouterr().out
    assert main(["evaluate", "--model", str(tmp_path), "--data", str(TELEMETRY), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["version"] == "v1"
    assert told["learned_from_this_data"] is True
    assert told["mae"] < told["baseline_mae"]
    assert len(told["mae_by_step"]) == 10
    assert told["mae"] == pytest.approx(sum(told["mae_by_step"]) / 10, rel=0.01)
    assert told["rolling_origin"]["mae"] < told["rolling_origin"]["baseline_mae"]
    assert len(told["rolling_origin"]["folds"]) == 5


def test_a_model_that_beats_no_baseline_is_refused_with_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steady = tmp_path / "steady.csv"
    steady.write_text("timestamp,avg_rtt_us\n" + "".join(f"{at},5000\n" for at in range(1500)))
    out = tmp_path / "models"
    assert main(["train", "--data", str(steady), "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert "refused: the model does not beat" in told
    assert [line.split()[0] for line in told.splitlines()[1:8]] == ["fold", "1", "2", "3", "4", "5", "all"]
    assert not out.exists()


def test_too_little_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few.csv"
    few.write_text("timestamp,avg_rtt_us\n" + "".join(f"{at},{5000 + at}\n" for at in range(100)))
    assert main(["train", "--data", str(few), "--out", str(tmp_path)]) == 1
    assert "fewer than 500: record for longer" in capsys.readouterr().err


@pytest.mark.parametrize("data", ["telemetry.txt", "telemetry", ""])
def test_a_format_that_is_none_is_a_usage_error(data: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--data", data, "--out", "models"])
    assert ended.value.code == 2


def test_redis_without_a_policy_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "redis", "--out", "models"]) == 2
    assert "--policy-uid" in capsys.readouterr().err


def test_recordings_of_the_agent_are_read_in_both_formats(tmp_path: Path) -> None:
    names = [
        *("node", "pod_namespace", "pod_name", "service_port", "destination_class", "direction"),
        *("start_unix_ms", "samples", "rtt_sum_us", "segments"),
    ]
    rows = [
        ["n1", "llm", "gw-0", 8000, "10.0.0.0/24", "Served", 2000, 4, 400, 9],
        ["n1", "llm", "gw-0", 8000, "10.0.0.0/24", "Served", 1000, 2, 100, 9],
        ["n1", "llm", "gw-0", 8000, "10.0.0.0/24", "Served", 3000, 0, 0, 9],
        ["n1", "llm", "gw-0", 8000, "10.0.0.0/24", "Dialed", 3000, 5, 99, 9],
    ]
    sheet = tmp_path / "tcp.csv"
    with sheet.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    pa.parquet.write_table(pa.table(columns), tmp_path / "tcp.parquet")
    for file in (sheet, tmp_path / "tcp.parquet"):
        (path,) = sources.read(file)
        assert path.name == "n1/llm/gw-0/8000/10.0.0.0/24"
        assert path.at_ms.tolist() == [1000, 2000, 3000]
        assert np.array_equal(path.rtt_us, [50, 100, np.nan], equal_nan=True)


@pytest.mark.redis
def test_models_are_pushed_promoted_and_rolled_back(
    tmp_path: Path, bundle: Bundle, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    place = folder.write(bundle, tmp_path)
    version = place.name
    where = ["--redis-url", redis_server.url, "--policy-uid", "policy-1"]

    def models(*words: str) -> tuple[int, str]:
        status = main(["models", *words, *where])
        told = capsys.readouterr()
        return status, told.out + told.err

    async def recorded() -> list[tuple[str, str]]:
        connection = Connection(redis_server.url, policy_uid="policy-1")
        entries = await AuditLog(connection).newest(10)
        await connection.close()
        return [(entry.action, entry.reason) for entry in entries]

    assert models("promote", version)[0] == 1
    assert models("push", str(tmp_path))[0] == 0
    assert models("promote", version) == (0, f"model {version} is promoted\n")
    assert models("list")[1].startswith(f"{version}  2023-11-14T22:13:20Z  mae ")
    assert models("list")[1].endswith("promoted\n")
    assert "median-of-last-ten" in models("show", version)[1]
    status, told = models("remove", version)
    assert (status, "is promoted" in told) == (1, True)
    assert models("rollback")[0] == 1
    assert asyncio.run(recorded()) == [("ModelPromoted", f"model {version}"), ("ModelPushed", f"model {version}")]
