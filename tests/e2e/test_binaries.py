import os
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.cluster import binaries
from e2e.cluster.binaries import PROGRAMS, Program, build_all, cache_key
from e2e.cluster.errors import ClusterError, PrerequisiteError

TOOL = Program(name="tool", module="tool", package="example.com/tool", links=("alias",))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make TOOL the only program, with a module of its own."""
    directory = tmp_path / "modules" / "tool"
    directory.mkdir(parents=True)
    (directory / "go.mod").write_text("module tool\n")
    monkeypatch.setattr(binaries, "MODULES", tmp_path / "modules")
    monkeypatch.setattr(binaries, "PROGRAMS", (TOOL,))
    return directory


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for Go on PATH, which writes the file that it is told to build."""
    program = tmp_path / "path" / "go"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        '[ "$1" = version ] && { echo "go version go1.26.8 linux/amd64"; exit; }\n'
        'while [ "$1" != -o ]; do shift; done\necho built >"$2"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def test_the_key_is_the_same_for_the_same_input() -> None:
    assert cache_key(PROGRAMS[0], go_version="go1.26.8") == cache_key(PROGRAMS[0], go_version="go1.26.8")


def test_another_compiler_makes_another_key() -> None:
    assert cache_key(PROGRAMS[0], go_version="go1.26.8") != cache_key(PROGRAMS[0], go_version="go1.26.9")


def test_other_flags_make_another_key() -> None:
    changed = replace(PROGRAMS[0], ldflags="-X main.version=2")
    assert cache_key(PROGRAMS[0], go_version="go1.26.8") != cache_key(changed, go_version="go1.26.8")


@pytest.mark.usefixtures("go")
def test_a_changed_requirement_makes_another_key(module: Path) -> None:
    before = cache_key(TOOL, go_version="go1.26.8")
    (module / "go.mod").write_text("module tool\nrequire example.com/tool v1.0.1\n")
    assert cache_key(TOOL, go_version="go1.26.8") != before


def test_programs_of_one_module_do_not_share_a_file() -> None:
    keys = [cache_key(program, go_version="go1.26.8") for program in PROGRAMS]
    assert len(set(keys)) == len(PROGRAMS)


@pytest.mark.usefixtures("go", "module")
def test_what_was_built_is_found_by_all_its_names(tmp_path: Path) -> None:
    directory = build_all(tmp_path / "cache", report=lambda _: None)
    assert {name: (directory / name).read_text() for name in ("tool", "alias")} == {
        "tool": "built\n",
        "alias": "built\n",
    }


@pytest.mark.usefixtures("module")
def test_nothing_is_built_twice(tmp_path: Path, go: Path) -> None:
    build_all(tmp_path / "cache", report=lambda _: None)
    go.write_text(go.read_text().replace("echo built", "exit 1; echo built"))
    reported: list[str] = []
    build_all(tmp_path / "cache", report=reported.append)
    assert reported == []


@pytest.mark.usefixtures("module")
def test_a_failed_build_leaves_no_program_and_names_its_log(tmp_path: Path, go: Path) -> None:
    go.write_text(go.read_text().replace('echo built >"$2"', "echo no such package; exit 1"))
    with pytest.raises(ClusterError, match=r"building tool failed: no such package .*build-tool\.log"):
        build_all(tmp_path / "cache", report=lambda _: None)
    assert list((tmp_path / "cache" / "built").iterdir()) == []


@pytest.mark.usefixtures("module")
def test_an_old_go_is_refused_with_the_version_that_is_needed(tmp_path: Path, go: Path) -> None:
    go.write_text(go.read_text().replace("go1.26.8", "go1.19.8"))
    with pytest.raises(PrerequisiteError, match=r"Go 1\.26 or newer is needed.*go1\.19\.8"):
        build_all(tmp_path / "cache", report=lambda _: None)


def test_missing_go_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteError, match="install Go"):
        build_all(tmp_path / "cache", report=lambda _: None)
