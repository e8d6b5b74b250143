"""Builds Kubernetes and its companions from Go modules, once per version.

Each program has a little module of its own under ``modules/``, because one shared module would
fight over versions. What was built is kept under a key of everything that went into it.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.cluster.errors import ClusterError, PrerequisiteError

MODULES: Final = Path(__file__).parent / "modules"
MINIMUM_GO: Final = (1, 26)
KUBERNETES_VERSION: Final = "1.37.1"
_BUILD_TIMEOUT_S: Final = 3600.0
_KEY_LENGTH: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program to build.

    Attributes:
        name: file that is built.
        module: directory under ``modules/``.
        package: Go package, within the module's requirements.
        links: further names that it is called by.
        ldflags: linker flags besides stripping.
    """

    name: str
    module: str
    package: str
    links: Sequence[str] = ()
    ldflags: str = ""


_K8S_MAJOR, _K8S_MINOR, _ = KUBERNETES_VERSION.split(".")
_VERSION: Final = "k8s.io/component-base/version"
_CONTAINERD: Final = "github.com/containerd/containerd/v2/cmd"

PROGRAMS: Final = (
    Program(name="etcd", module="etcd", package="go.etcd.io/etcd/server/v3"),
    Program(
        name="kubernetes",
        module="kubernetes",
        package=".",
        links=("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"),
        ldflags=(
            f"-X {_VERSION}.gitVersion=v{KUBERNETES_VERSION}"
            f" -X {_VERSION}.gitMajor={_K8S_MAJOR} -X {_VERSION}.gitMinor={_K8S_MINOR}"
        ),
    ),
    Program(name="containerd", module="containerd", package=f"{_CONTAINERD}/containerd"),
    Program(name="containerd-shim-runc-v2", module="containerd", package=f"{_CONTAINERD}/containerd-shim-runc-v2"),
    Program(name="ctr", module="containerd", package=f"{_CONTAINERD}/ctr"),
    Program(name="helm", module="helm", package="helm.sh/helm/v3/cmd/helm"),
    Program(name="coredns", module="coredns", package="github.com/coredns/coredns"),
    Program(name="kwok", module="kwok", package="sigs.k8s.io/kwok/cmd/kwok"),
)


def cache_key(program: Program, *, go_version: str) -> str:
    """Return a key of everything that decides what ``program`` becomes."""
    digest = hashlib.sha256(repr((program, go_version)).encode())
    for file in sorted((MODULES / program.module).iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:_KEY_LENGTH]


def build_all(cache: Path, *, report: Callable[[str], None]) -> Path:
    """Build what is missing and return the directory that holds all programs by their names.

    Args:
        cache: where programs are kept.
        report: told what is being built.

    Raises:
        PrerequisiteError: Go is missing or too old.
        ClusterError: a build failed; the message names its log.
    """
    go_version = _go_version()
    directory = cache / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    for position, program in enumerate(PROGRAMS, start=1):
        built = cache / "built" / f"{program.name}-{cache_key(program, go_version=go_version)}"
        if not built.exists():
            report(f"building {program.name} ({position} of {len(PROGRAMS)}); this is done once")
            _build(program, into=built, log=cache / "logs" / f"build-{program.name}.log")
        for name in (program.name, *program.links):
            _link(directory / name, built)
    return directory


def _go_version() -> str:
    if not shutil.which("go"):
        raise PrerequisiteError("Go is not installed: install Go 1.26 or newer and put it on PATH")
    words = subprocess.run(["go", "version"], capture_output=True, text=True, check=True, timeout=30.0).stdout
    found = re.search(r"go(\d+)\.(\d+)", words)
    if not found or (int(found[1]), int(found[2])) < MINIMUM_GO:
        raise PrerequisiteError(f"Go 1.26 or newer is needed, this is {words.strip()!r}: install a newer Go")
    return words.strip()


def _build(program: Program, *, into: Path, log: Path) -> None:
    """Build in place of nothing or all: the file appears only when it is whole."""
    into.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    partial = into.with_name(f"{into.name}.{os.getpid()}.partial")
    command = [
        *("go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false"),
        *("-ldflags", f"-s -w {program.ldflags}".strip(), "-o", str(partial), program.package),
    ]
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            cwd=MODULES / program.module,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_BUILD_TIMEOUT_S,
        )
    if done.returncode:
        partial.unlink(missing_ok=True)
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise ClusterError(f"building {program.name} failed: {' '.join(last)} (all of it is in {log})")
    partial.rename(into)


def _link(link: Path, target: Path) -> None:
    partial = link.with_name(f".{link.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    partial.rename(link)
