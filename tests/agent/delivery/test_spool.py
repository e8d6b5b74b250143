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
    def write(_: int, __: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(segment.os, "write", write)


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


def test_damage_costs_the_rest_of_one_file(tmp_path: Path) -> None:
    spool = opened(tmp_path, "a")
    add(spool, *[bytes([65 + number]) * 40_000 for number in range(4)])
    files = sorted(tmp_path.glob("*.windows"))
    assert len(files) == 4
    files[1].write_bytes(files[1].read_bytes()[:-1] + b"x")
    assert [document[:1] for document in drained(spool, "a")] == [b"A", b"C", b"D"]
    assert spool.content().dropped == {"a": {"Damaged": 1}}


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
        self.spool = opened(directory, "a", "b")
        self.got: dict[str, list[int]] = {"a": [], "b": []}
        self.lost: Counter[str] = Counter()
        self.built = 0
        self.full = False

    def write(self, file: int, data: bytes, *, real: Callable[[int, bytes], int] = os.write) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "full")
        return real(file, data)

    def append(self, size: int) -> None:
        self.built += 1
        add(self.spool, self.built.to_bytes(4, "big") * size)

    def read(self, name: str) -> None:
        if record := self.spool.next(name):
            self.got[name].append(int.from_bytes(record.document[:4], "big"))
            self.spool.acknowledge(name, record)

    def commit(self, _: None) -> None:
        self.spool.commit()

    def fill(self, full: bool) -> None:
        self.full = full

    def kill(self, _: None) -> None:
        if not self.spool.content().state.memory_bytes:
            self.spool.commit()
            self.end()
            self.spool = opened(self.directory, "a", "b")

    def end(self) -> None:
        for name, counts in self.spool.content().dropped.items():
            self.lost[name] += sum(counts.values())
        killed(self.spool)


Step = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 25_000)),
    st.tuples(st.just("read"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("kill"), st.none()),
    st.tuples(st.just("fill"), st.booleans()),
)


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(Step, max_size=60))
def test_what_goes_in_comes_out_once_and_in_order_or_is_counted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    story = Story(tmp_path_factory.mktemp("spool"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment.os, "write", story.write)
        for action, argument in [*steps, ("fill", False), ("append", 1)]:
            getattr(story, action)(argument)
        for name, numbers in story.got.items():
            numbers += [int.from_bytes(document[:4], "big") for document in drained(story.spool, name)]
    story.end()
    for name, numbers in story.got.items():
        assert numbers == sorted(set(numbers))
        assert len(numbers) + story.lost[name] == story.built
