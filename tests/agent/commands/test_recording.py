"""Recordings: what is written is what is read."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agent.commands.rows import GPU_PROCESSES, documents, recordings
from tests.agent.commands.support import batch
from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.commands.recording.reading import read
from tokenflow_agent.commands.recording.tables import BATCHES
from tokenflow_agent.commands.recording.writing import create
from tokenflow_agent.errors import RecordingError, UsageError
from tokenflow_api.telemetry import TelemetryBatch


def written(path: Path, batches: list[TelemetryBatch], table: str | None = None) -> Path:
    recording = create(path, table=table)
    for one in batches:
        recording.add(one)
    recording.close()
    return path


@given(recordings())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_directory_holds_every_window_whole(batches: list[TelemetryBatch]) -> None:
    with TemporaryDirectory() as top:
        assert list(read(written(Path(top) / "all", batches))) == batches


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_a_file_holds_one_table(table: str, suffix: str, data: st.DataObject) -> None:
    batches = [batch(sequence, **{table: data.draw(documents(table))}) for sequence in (1, 2)]
    with TemporaryDirectory() as top:
        seen = list(read(written(Path(top) / f"one{suffix}", batches, table)))
    assert seen == [one for one in batches if len(getattr(one, table))]


WINDOW = "schema,agent,node,boot_id,sequence,sent_at_unix_ms,window_ms"


def test_a_file_reads_well(tmp_path: Path) -> None:
    file = written(tmp_path / "gpu.csv", [batch(7, gpu_processes=GPU_PROCESSES)], "gpu_processes")
    assert file.read_text().splitlines() == [
        f"{WINDOW},uuid,pod_namespace,pod_name,pod_uid,memory_used_bytes",
        "1,default/nodes,n1,boot,7,1700000007000,1000,GPU-1,llm,vllm-0,u,1024",
    ]


def test_a_window_is_on_the_disk_before_the_end(tmp_path: Path) -> None:
    recording = create(tmp_path / "all", table=None)
    recording.add(batch(1))
    recording.add(batch(2, gpu_processes=GPU_PROCESSES))
    assert [one.sequence for one in read(tmp_path / "all")] == [1, 2]
    recording.close()
    assert (recording.windows, recording.rows) == (2, 1)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(UsageError, match="there already"):
        create(tmp_path / "a.csv", table=None)


def test_a_directory_takes_all_tables(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name a file that ends in .csv or .parquet"):
        create(tmp_path / "all", table="http")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none/a.csv cannot be created: No such file"):
        create(tmp_path / "none" / "a.csv", table=None)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match="pip install"):
        create(tmp_path / "a.parquet", table=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "columns are those of no table"),
        ("a.csv", "a,b\n1,2\n", "columns are those of no table"),
        ("a.csv", "\xff", "columns are those of no table"),
        ("a.parquet", "no such thing", "a.parquet"),
        ("b/batches.txt", "", "batches.csv"),
    ],
)
def test_what_is_no_recording(tmp_path: Path, name: str, content: str, words: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    with pytest.raises(RecordingError, match=words):
        list(read(file if file.parent == tmp_path else file.parent))


def test_what_has_another_ending(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends neither in .csv nor in .parquet"):
        list(read(tmp_path / "a.txt"))


def test_a_torn_line_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "gpu.csv", [batch(7, gpu_processes=GPU_PROCESSES)], "gpu_processes")
    file.write_text(file.read_text()[:-20])
    with pytest.raises(RecordingError, match=r"gpu.csv line 2: .* remove the line"):
        list(read(file))


def test_a_value_that_is_no_number_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "gpu.csv", [batch(7, gpu_processes=GPU_PROCESSES)], "gpu_processes")
    file.write_text(file.read_text().replace(",1024", ",much"))
    with pytest.raises(RecordingError, match=r"gpu.csv line 2: .*much"):
        list(read(file))


def test_a_value_out_of_bounds_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "gpu.csv", [batch(7, gpu_processes=GPU_PROCESSES)], "gpu_processes")
    file.write_text(file.read_text().replace(",1024", ",-1"))
    with pytest.raises(RecordingError, match=r"window 7: gpu_processes.memory_used_bytes.0"):
        list(read(file))


def test_rows_without_a_window_are_named(tmp_path: Path) -> None:
    top = written(tmp_path / "all", [batch(7, gpu_processes=GPU_PROCESSES)])
    windows = top / f"{BATCHES}.csv"
    windows.write_text(windows.read_text().replace(",7,", ",8,"))
    with pytest.raises(RecordingError, match=r"gpu_processes.csv has rows of window 7"):
        list(read(top))
