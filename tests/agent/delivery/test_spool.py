"""The spool: bounded, in order, through crashes and full disks."""

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenflow_agent.delivery import segment
from tokenflow_agent.delivery import spool as spool_module
from tokenflow_agent.delivery.journal import Journal
from tokenflow_agent.delivery.spool import MAX_MEMORY_BYTES, Spool
from tokenflow_agent.errors import SpoolError

MOST = 1 << 20


def opened(directory: Path, *names: str, most_bytes: int = MOST) -> Spool:
    spool = Spool(directory)
    spool.follow(set(names), most_bytes=most_bytes)
    return spool


def add(spool: Spool, *documents: bytes) -> None:
    for document in documents:
        spool.append(document, at_unix_ms=1)


def drained(spool: Spool, name: str) -> list[bytes]:
    got = []
    while record := spool.next(name):
        got.append(record.document)
        spool.acknowledge(name, record)
    return got


def killed(spool: Spool) -> None:
    """Let go of the lock as a killed process does: nothing is written any more."""
    journal = spool._journal
    assert journal is not None
    os.close(journal._lock)


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def write(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(segment.os, "pwrite", write)


def test_each_destination_gets_everything_in_order(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a", "b")
    add(spool, b"1", b"2")
    assert drained(spool, "a") == [b"1", b"2"]
    add(spool, b"3")
    assert drained(spool, "b") == [b"1", b"2", b"3"]
    assert drained(spool, "a") == [b"3"]


def test_what_all_have_leaves_the_disk(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a", "b")
    add(spool, b"1")
    drained(spool, "a")
    spool.commit()
    assert spool.content().state.disk_bytes == 25
    drained(spool, "b")
    spool.commit()
    assert spool.content().state.disk_bytes == 0
    assert not list(tmp_path.glob("*.windows"))


def test_a_killed_process_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    first = opened(tmp_path, "a")
    add(first, b"1", b"2", b"3")
    record = first.next("a")
    assert record is not None
    first.acknowledge("a", record)
    first.commit()
    killed(first)
    second = opened(tmp_path, "a")
    add(second, b"4")
    assert drained(second, "a") == [b"2", b"3", b"4"]


def test_a_torn_end_is_cut(tmp_path: Path) -> None:
    first = opened(tmp_path, "a")
    add(first, b"1", b"2")
    killed(first)
    (file,) = tmp_path.glob("*.windows")
    file.write_bytes(file.read_bytes()[:-1])
    second = opened(tmp_path, "a")
    add(second, b"3")
    assert drained(second, "a") == [b"1", b"3"]
    assert second.content().dropped == {"a": {"Torn": 1}}


def test_zeros_that_a_power_loss_leaves_are_cut(tmp_path: Path) -> None:
    first = opened(tmp_path, "a")
    add(first, b"1")
    killed(first)
    (file,) = tmp_path.glob("*.windows")
    file.write_bytes(file.read_bytes() + bytes(4096))
    assert drained(opened(tmp_path, "a"), "a") == [b"1"]


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda data: data[:80] + b"x" + data[81:], [b"1" * 20, b"3" * 20]),
        (lambda data: data[:44] + b"\xff" + data[45:], [b"1" * 20]),
        (lambda data: data[:44], [b"1" * 20]),
        (lambda _: b"", []),
    ],
    ids=["a byte", "a length", "an end", "all"],
)
def test_damage_costs_what_is_damaged_and_is_counted(
    tmp_path: Path, damage: Callable[[bytes], bytes], left: list[bytes]
) -> None:
    spool = opened(tmp_path, "a")
    add(spool, b"1" * 20, b"2" * 20, b"3" * 20)
    (file,) = tmp_path.glob("*.windows")
    file.write_bytes(damage(file.read_bytes()))
    assert drained(spool, "a") == left
    spool.commit()
    add(spool, b"4")
    assert drained(spool, "a") == [b"4"]
    assert spool.content().dropped == {"a": {"Damaged": 3 - len(left)}}
    assert spool.content().waiting == {"a": 0}


def test_damage_in_the_last_file_of_a_former_process_costs_one_window(tmp_path: Path) -> None:
    first = opened(tmp_path, "a")
    add(first, b"1" * 20, b"2" * 20, b"3" * 20)
    killed(first)
    (file,) = tmp_path.glob("*.windows")
    data = file.read_bytes()
    file.write_bytes(data[:70] + b"x" + data[71:])
    second = opened(tmp_path, "a")
    assert drained(second, "a") == [b"1" * 20, b"3" * 20]
    assert second.content().dropped == {"a": {"Damaged": 1}}


def test_a_file_that_somebody_removes_costs_its_windows_alone(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a")
    add(spool, b"1", b"2")
    for file in tmp_path.glob("*.windows"):
        file.unlink()
    assert drained(spool, "a") == []
    spool.commit()
    add(spool, b"3")
    assert drained(spool, "a") == [b"3"]
    assert spool.content().dropped == {"a": {"Damaged": 2}}
    assert spool.content().state.reason == ""


def test_what_a_full_disk_cut_short_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(file: int, data: bytes, offset: int, *, real: Callable[[int, bytes, int], int] = os.pwrite) -> int:
        if len(data) < 60_000:
            raise OSError(errno.ENOSPC, "full")
        return real(file, data[:60_000], offset)

    spool = opened(tmp_path, "a")
    with monkeypatch.context() as patch:
        patch.setattr(segment.os, "pwrite", write)
        patch.setattr(segment.os, "ftruncate", lambda *_: None)
        add(spool, b"1" * 70_000)
    # Each is more than a file is to have, and the file of the first is there already.
    add(spool, b"2" * 70_000)
    spool.commit()
    assert [document[:1] for document in drained(spool, "a")] == [b"1", b"2"]


def test_a_window_that_is_dropped_on_its_way_is_not_acknowledged_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path, "a")
    failing(monkeypatch, errno.ENOSPC)
    add(spool, b"0" * 600_000)
    on_its_way = spool.next("a")
    add(spool, b"1" * 600_000)
    assert on_its_way is not None
    spool.acknowledge("a", on_its_way)
    assert spool.content().waiting == {"a": 1}
    assert spool.content().dropped == {"a": {"MemoryFull": 1}}
    assert drained(spool, "a") == [b"1" * 600_000]


def test_the_oldest_make_room_and_are_counted(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a", "b")
    add(spool, *[bytes([number]) * 100_000 for number in range(5)])
    drained(spool, "a")
    add(spool, *[bytes([number]) * 100_000 for number in range(5, 15)])
    assert spool.content().state.disk_bytes <= MOST
    assert [document[0] for document in drained(spool, "b")] == list(range(5, 15))
    assert spool.content().dropped == {"a": {}, "b": {"SpoolFull": 5}}


def test_a_lower_bound_holds_at_once(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a", most_bytes=4 * MOST)
    add(spool, *[bytes(100_000) for _ in range(30)])
    spool.follow({"a"}, most_bytes=MOST)
    content = spool.content()
    assert content.state.disk_bytes <= MOST
    assert content.waiting["a"] + content.dropped["a"]["SpoolFull"] == 30


def test_a_new_destination_begins_with_now(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a")
    add(spool, b"1")
    spool.follow({"a", "b"}, most_bytes=MOST)
    add(spool, b"2")
    assert drained(spool, "b") == [b"2"]
    assert drained(spool, "a") == [b"1", b"2"]


def test_a_destination_that_leaves_holds_nothing_back_and_comes_back_anew(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a", "b")
    add(spool, b"1")
    drained(spool, "a")
    spool.follow({"a"}, most_bytes=MOST)
    assert spool.content().state.disk_bytes == 0
    spool.follow({"a", "b"}, most_bytes=MOST)
    add(spool, b"2")
    assert drained(spool, "b") == [b"2"]


def test_nothing_is_kept_where_nobody_wants_it(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    add(spool, b"1")
    assert not list(tmp_path.iterdir())


def test_cursors_that_are_lost_begin_with_the_oldest(tmp_path: Path) -> None:
    first = opened(tmp_path, "a")
    add(first, b"1", b"2")
    drained(first, "a")
    killed(first)
    (tmp_path / "cursors.json").write_text("{")
    assert drained(opened(tmp_path, "a"), "a") == [b"1", b"2"]


def test_a_window_that_no_receiver_takes_is_counted(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a")
    add(spool, bytes((1 << 20) + 1), b"1")
    assert drained(spool, "a") == [b"1"]
    assert spool.content().dropped == {"a": {"TooLarge": 1}}


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "DiskFull"), (errno.EROFS, "DiskReadOnly"), (errno.EIO, "DiskFailed")],
)
def test_a_disk_that_takes_nothing_costs_nothing_while_memory_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    spool = opened(tmp_path, "a")
    add(spool, b"1")
    with monkeypatch.context() as patch:
        failing(patch, number)
        add(spool, b"2", b"3")
        state = spool.content().state
        assert (state.reason, state.memory_bytes) == (reason, 50)
        assert str(tmp_path) in state.message
    add(spool, b"4")
    state = spool.content().state
    assert (state.reason, state.memory_bytes) == ("", 0)
    assert drained(spool, "a") == [b"1", b"2", b"3", b"4"]


def test_memory_is_bounded_and_its_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path, "a")
    add(spool, b"on the disk")
    failing(monkeypatch, errno.ENOSPC)
    add(spool, *[bytes([number]) * 100_000 for number in range(20)])
    content = spool.content()
    assert content.state.memory_bytes <= MAX_MEMORY_BYTES
    assert content.dropped == {"a": {"MemoryFull": 10}}
    documents = drained(spool, "a")
    assert documents[0] == b"on the disk"
    assert [document[0] for document in documents[1:]] == list(range(10, 20))


def test_a_directory_that_comes_late_keeps_what_a_former_process_left(tmp_path: Path) -> None:
    former = opened(tmp_path, "a")
    add(former, b"1", b"2")
    spool = opened(tmp_path, "a")
    assert spool.content().state.reason == "SpoolTaken"
    add(spool, b"3")
    assert drained(spool, "a") == [b"3"]
    spool.commit()
    add(spool, b"4")
    killed(former)
    add(spool, b"5")
    assert spool.content().state.reason == ""
    assert drained(spool, "a") == [b"1", b"2", b"4", b"5"]


def test_without_a_directory_windows_wait_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = opened(tmp_path / "file" / "spool", "a")
    add(spool, b"1")
    state = spool.content().state
    assert state.reason == "DiskFailed"
    assert "name another directory by --spool-dir" in state.message
    assert drained(spool, "a") == [b"1"]
    spool.commit()
    assert spool.content().state.memory_bytes == 0


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    holder = Journal(tmp_path)
    with pytest.raises(SpoolError, match="held by another agent"):
        Journal(tmp_path)
    holder.close()
    Journal(tmp_path).close()


class Story:
    """A spool through whatever may happen to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spool = opened(directory, "a", "b", most_bytes=100_000)
        self.got: dict[str, list[int]] = {"a": [], "b": []}
        self.on_its_way: dict[str, Any] = {"a": None, "b": None}
        self.lost: Counter[str] = Counter()
        self.built = 0
        self.full = False

    def write(self, file: int, data: bytes, offset: int, *, real: Callable[[int, bytes, int], int] = os.pwrite) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "full")
        return real(file, data, offset)

    def append(self, size: int) -> None:
        self.built += 1
        add(self.spool, self.built.to_bytes(4, "big") * size)

    def take(self, name: str) -> None:
        self.on_its_way[name] = self.spool.next(name)

    def acknowledge(self, name: str) -> None:
        record = self.on_its_way[name]
        if record is None:
            return
        before = self.spool.content().waiting[name]
        self.spool.acknowledge(name, record)
        if self.spool.content().waiting[name] < before:
            self.got[name].append(int.from_bytes(record.document[:4], "big"))
        self.on_its_way[name] = None

    def commit(self, _: None) -> None:
        self.spool.commit()

    def fill(self, full: bool) -> None:
        self.full = full

    def damage(self, at: float) -> None:
        files = sorted(self.directory.glob("*.windows"))
        if files and (data := bytearray(files[0].read_bytes())):
            data[int(at * len(data))] ^= 0xFF
            files[0].write_bytes(data)

    def kill(self, _: None) -> None:
        if not self.spool.content().state.memory_bytes:
            self.spool.commit()
            self.end()
            self.spool = opened(self.directory, "a", "b", most_bytes=100_000)
            self.on_its_way = dict.fromkeys(self.on_its_way)

    def end(self) -> None:
        for name, counts in self.spool.content().dropped.items():
            self.lost[name] += sum(counts.values())
        killed(self.spool)

    def check(self) -> None:
        content = self.spool.content()
        for name, numbers in self.got.items():
            lost = self.lost[name] + sum(content.dropped[name].values())
            assert self.built == len(numbers) + lost + content.waiting[name]


Steps = st.one_of(
    st.tuples(st.just("append"), st.sampled_from([1, 2_000, 6_000])),
    st.tuples(st.just("take"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("acknowledge"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("fill"), st.booleans()),
)
Step = st.one_of(Steps, st.tuples(st.just("kill"), st.none()))
DamagingStep = st.one_of(Steps, st.tuples(st.just("damage"), st.floats(0, 1, exclude_max=True)))


@settings(max_examples=150, deadline=None)
@given(steps=st.one_of(*(st.lists(step, min_size=30, max_size=60) for step in (Step, DamagingStep))))
def test_what_is_built_is_delivered_in_order_or_dropped_or_waits_at_all_times(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    story = Story(tmp_path_factory.mktemp("spool"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment.os, "pwrite", story.write)
        patch.setattr(spool_module, "MAX_MEMORY_BYTES", 40_000)
        for action, argument in [*steps, ("fill", False), ("append", 1)]:
            getattr(story, action)(argument)
            story.check()
        for name, numbers in story.got.items():
            numbers += [int.from_bytes(document[:4], "big") for document in drained(story.spool, name)]
        story.check()
    story.end()
    for name, numbers in story.got.items():
        assert numbers == sorted(set(numbers))
        assert len(numbers) + story.lost[name] == story.built
