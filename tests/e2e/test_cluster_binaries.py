import dataclasses
import shutil
from pathlib import Path

import pytest

from e2e.cluster import binaries
from e2e.cluster.errors import ClusterError, PrerequisiteError

GO = "go version go1.26.1 linux/amd64"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory in which programs are found, with what a Go of our own needs."""
    directory = tmp_path / "path"
    directory.mkdir()
    (directory / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    monkeypatch.setenv("PATH", str(directory))
    return directory


def go(path: Path, script: str) -> None:
    (path / "go").write_text(f"#!/bin/sh\n{script}\n")
    (path / "go").chmod(0o755)


def test_every_module_is_committed_with_its_sums() -> None:
    for program in binaries.PROGRAMS:
        files = {file.name for file in (binaries.MODULES / program.module).iterdir()}
        assert {"go.mod", "go.sum"} < files


def test_the_module_and_the_version_that_is_reported_agree() -> None:
    module = (binaries.MODULES / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{binaries.KUBERNETES_VERSION}\n" in module


def test_a_key_changes_with_whatever_changes_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = tmp_path / "modules"
    shutil.copytree(binaries.MODULES, modules)
    monkeypatch.setattr(binaries, "MODULES", modules)
    program = next(p for p in binaries.PROGRAMS if p.name == "kubernetes")
    seen = [binaries.cache_key(program, go_version=GO)]
    seen.append(binaries.cache_key(program, go_version="go version go1.27.0 linux/amd64"))
    seen.append(binaries.cache_key(dataclasses.replace(program, ldflags="-X a=b"), go_version=GO))
    for name in ("go.mod", "go.sum", "main.go"):
        with (modules / "kubernetes" / name).open("a") as file:
            file.write("\n")
        seen.append(binaries.cache_key(program, go_version=GO))
    assert len(set(seen)) == len(seen)


def test_a_key_does_not_depend_on_other_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etcd = next(p for p in binaries.PROGRAMS if p.name == "etcd")
    before = binaries.cache_key(etcd, go_version=GO)
    modules = tmp_path / "modules"
    shutil.copytree(binaries.MODULES, modules)
    (modules / "helm" / "go.sum").write_text("")
    monkeypatch.setattr(binaries, "MODULES", modules)
    assert binaries.cache_key(etcd, go_version=GO) == before


@pytest.mark.usefixtures("path")
def test_a_missing_go_is_named(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match=r"install Go 1\.26"):
        binaries.build_all(tmp_path / "cache", report=print)


def test_an_old_go_is_refused(tmp_path: Path, path: Path) -> None:
    go(path, "echo go version go1.25.9 linux/amd64")
    with pytest.raises(PrerequisiteError, match=r"1\.26 or newer.*go1\.25\.9"):
        binaries.build_all(tmp_path / "cache", report=print)


def test_a_failed_build_names_its_log_and_leaves_no_program(tmp_path: Path, path: Path) -> None:
    go(path, f'[ "$1" = version ] && echo "{GO}" && exit\necho "no space left on device"; exit 1')
    with pytest.raises(ClusterError, match="no space left on device") as failure:
        binaries.build_all(tmp_path / "cache", report=print)
    log = tmp_path / "cache" / "logs" / "build-etcd.log"
    assert str(log) in str(failure.value)
    assert "no space left" in log.read_text()
    assert not list((tmp_path / "cache" / "built").iterdir())


def test_what_was_built_once_is_not_built_again(tmp_path: Path, path: Path) -> None:
    counter = tmp_path / "builds"
    go(
        path,
        f'[ "$1" = version ] && echo "{GO}" && exit\n'
        f'while [ "$1" != -o ]; do shift; done\necho build >> {counter}; echo "$4" > "$2"',
    )
    reported: list[str] = []
    first = binaries.build_all(tmp_path / "cache", report=reported.append)
    assert binaries.build_all(tmp_path / "cache", report=reported.append) == first
    assert len(counter.read_text().splitlines()) == len(reported) == len(binaries.PROGRAMS)
    assert (first / "kubelet").resolve() == (first / "kubectl").resolve()
