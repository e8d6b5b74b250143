"""Which libraries are watched, as processes come and go."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.agent.clock import Clock
from tokenflow_agent.errors import KernelError, ProbeError
from tokenflow_agent.l7.elf import functions
from tokenflow_agent.l7.libraries import Library, mapped
from tokenflow_agent.l7.tls import MAX_LIBRARIES, TlsLibraries
from tokenflow_agent.retry import FIRST_S, MOST_S, Retry

NAMES = frozenset({"SSL_read", "SSL_write"})


def system_library() -> Path:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return Path(next(line.split()[-1] for line in lines if "/libssl.so" in line))


def test_functions_of_the_systems_library_are_found() -> None:
    import ssl  # noqa: F401, PLC0415 - so that this process has it mapped

    found = functions(system_library(), NAMES | {"no_such_function"})
    assert found.keys() == NAMES
    assert all(0 < offset < system_library().stat().st_size for offset in found.values())


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 200, b"\x7fELF\x01\x01" + b"\0" * 100]
)
def test_what_is_no_library_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "libssl.so.3").write_bytes(data)
    with pytest.raises(ProbeError, match=r"libssl\.so\.3") as refused:
        functions(tmp_path / "libssl.so.3", NAMES)
    assert refused.value.reason == "LibraryUnreadable"


class Node:
    """Processes of a made-up /proc, whose libraries are copies of the system's."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder
        self.hooked: list[Path] = []
        self.open: set[int] = set()
        self.refusal: KernelError | None = None

    def start(self, pid: int, *libraries: tuple[int, str]) -> None:
        process = self.proc / str(pid)
        (process / "root/lib").mkdir(parents=True)
        lines = [f"7f0000000000-7f0000001000 r-xp 00000000 08:01 {inode}   {path}" for inode, path in libraries]
        (process / "maps").write_text("\n".join(["55d0-55d1 r-xp 00000000 08:01 1   /bin/server", *lines, ""]))
        for _, path in libraries:
            if not path.endswith("(deleted)"):
                target = process / f"root{path}"
                target.unlink(missing_ok=True)
                target.symlink_to(system_library())

    def stop(self, pid: int) -> None:
        (self.proc / str(pid) / "maps").unlink()
        (self.proc / str(pid)).rename(self.proc / f"gone-{pid}")

    def hook(self, path: Path, offsets: Mapping[str, int]) -> list[int]:
        if self.refusal:
            raise self.refusal
        assert offsets.keys() == NAMES
        self.hooked.append(path)
        descriptor = os.open("/dev/null", os.O_RDONLY)
        self.open.add(descriptor)
        return [descriptor]

    def closed(self) -> int:
        """Return how many of the descriptors that were given out are closed."""
        return sum(not Path(f"/proc/self/fd/{descriptor}").exists() for descriptor in self.open)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_containers_libraries_are_found_and_those_of_others_passed_over(node: Node) -> None:
    node.start(7, (11, "/lib/libssl.so.3"), (12, "/lib/libssl3.so"), (13, "/lib/libssl-81ffa89e.so.1.1"))
    root = node.proc / "7/root/lib"
    assert mapped(7, proc=node.proc) == {
        Library("08:01", 11): root / "libssl.so.3",
        Library("08:01", 13): root / "libssl-81ffa89e.so.1.1",
    }


def test_a_replaced_library_is_reached_where_it_is_mapped(node: Node) -> None:
    node.start(7, (11, "/lib/libssl.so.3 (deleted)"))
    place = node.proc / "7/map_files/7f0000000000-7f0000001000"
    assert mapped(7, proc=node.proc) == {Library("08:01", 11): place}


def test_a_library_is_watched_once_until_its_last_process_ends(node: Node) -> None:
    libraries = TlsLibraries(node.hook, NAMES, proc=node.proc)
    for pid in (7, 8):
        node.start(pid, (11, "/lib/libssl.so.3"))
    libraries.look()
    libraries.look()
    assert len(node.hooked) == 1
    node.stop(7)
    libraries.look()
    assert node.closed() == 0
    node.stop(8)
    libraries.look()
    assert node.closed() == 1


def test_old_processes_are_looked_at_ever_less_and_in_the_end(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenflow_agent.l7.tls.MAX_PAUSE", 8)
    libraries = TlsLibraries(node.hook, NAMES, proc=node.proc)
    node.start(7)
    turns: list[int] = []
    monkeypatch.setattr("tokenflow_agent.l7.tls.mapped", lambda *_, **__: turns.append(turn) or {})
    for turn in range(30):  # noqa: B007 - told to what is called
        libraries.look()
    assert turns == [0, 1, 3, 7, 15, 23]


def test_a_library_that_is_loaded_late_is_found(node: Node) -> None:
    libraries = TlsLibraries(node.hook, NAMES, proc=node.proc)
    node.start(7)
    libraries.look()
    (node.proc / "7/maps").write_text("7f0000000000-7f0000001000 r-xp 00000000 08:01 11   /lib/libssl.so.3\n")
    (node.proc / "7/root/lib/libssl.so.3").symlink_to(system_library())
    libraries.look()
    assert len(node.hooked) == 1


def test_a_library_that_is_refused_is_a_problem_until_nobody_uses_it(node: Node) -> None:
    node.refusal = KernelError("NoUprobes", "this kernel has no uprobes")
    libraries = TlsLibraries(node.hook, NAMES, proc=node.proc)
    node.start(7, (11, "/lib/libssl.so.3"))
    libraries.look()
    assert libraries.problem is node.refusal
    node.stop(7)
    libraries.look()
    assert libraries.problem is None


def test_a_library_that_was_refused_for_a_passing_reason_is_watched_in_the_end(node: Node) -> None:
    clock = Clock()
    node.refusal = KernelError("AttachRefused", "the kernel has too much to do")
    libraries = TlsLibraries(node.hook, NAMES, proc=node.proc, retry=lambda: Retry(clock=clock, uniform=max))
    node.start(7, (11, "/lib/libssl.so.3"))
    libraries.look()
    node.refusal = None
    libraries.look()
    assert libraries.problem is not None
    clock.now = FIRST_S
    node.start(8, (11, "/lib/libssl.so.3"))
    libraries.look()
    assert libraries.problem is None
    assert node.hooked == [node.proc / "8/root/lib/libssl.so.3"]


def test_a_library_that_is_refused_again_is_told_only_for_another_reason(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    libraries = TlsLibraries(node.hook, NAMES, proc=node.proc, retry=lambda: Retry(clock=clock))
    for pid, reason in enumerate(("AttachRefused", "AttachRefused", "NoUprobes", "NoUprobes"), start=7):
        node.refusal = KernelError(reason, f"attaching to {pid}")
        node.start(pid, (11, "/lib/libssl.so.3"))
        libraries.look()
        assert libraries.problem is node.refusal
        clock.now += MOST_S
    assert [vars(record)["detail"] for record in caplog.records] == ["attaching to 7", "attaching to 9"]


def test_there_is_a_bound_on_libraries(node: Node) -> None:
    libraries = TlsLibraries(node.hook, NAMES, proc=node.proc)
    for number in range(MAX_LIBRARIES + 1):
        node.start(100 + number, (1000 + number, "/lib/libssl.so.3"))
    libraries.look()
    assert len(node.hooked) == MAX_LIBRARIES
    assert libraries.problem is not None
    assert libraries.problem.reason == "TooManyLibraries"
    libraries.close()
    libraries.look()
    assert len(node.hooked) == MAX_LIBRARIES
