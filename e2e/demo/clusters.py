"""The three places where the demo can run: your own cluster, kind, or Kubernetes built from source."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from e2e.cluster.settings import cache
from e2e.commands import CommandError, run

KIND_CLUSTER: Final = "tokenflow"
_UP_TIMEOUT_S: Final = 2700.0


class ClusterKind(StrEnum):
    """How the cluster comes about."""

    EXISTING = "existing"
    KIND = "kind"
    BARE = "bare"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """A cluster that answers.

    Attributes:
        kind: how it came about.
        env: variables under which kubectl and helm reach it.
        ours: whether it was made for the demo, so that its images are built and loaded here.
    """

    kind: ClusterKind
    env: dict[str, str]
    ours: bool

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 120.0) -> str:
        """Run kubectl.

        Raises:
            CommandError: it failed.
        """
        return run(["kubectl", *arguments], env=self.env, stdin=stdin, timeout_s=timeout_s)

    def helm(self, *arguments: str, timeout_s: float = 300.0) -> str:
        """Run helm.

        Raises:
            CommandError: it failed.
        """
        return run(["helm", *arguments], env=self.env, timeout_s=timeout_s)


def choose() -> ClusterKind:
    """Return kind where Docker and kind are at hand, else bare; an existing cluster must be asked for."""
    if not shutil.which("kind") or not shutil.which("docker"):
        return ClusterKind.BARE
    try:
        run(["docker", "info"], timeout_s=10.0)
    except CommandError:
        return ClusterKind.BARE
    return ClusterKind.KIND


def up(kind: ClusterKind) -> Cluster:
    """Bring the cluster up; one that is up already is taken as it is.

    Raises:
        CommandError: it did not come up.
    """
    match kind:
        case ClusterKind.EXISTING:
            cluster = Cluster(kind=kind, env={}, ours=False)
        case ClusterKind.KIND:
            if KIND_CLUSTER not in run(["kind", "get", "clusters"]).split():
                run(["kind", "create", "cluster", "--name", KIND_CLUSTER, "--wait", "120s"], timeout_s=600.0)
            kubeconfig = run(["kind", "get", "kubeconfig", "--name", KIND_CLUSTER])
            path = cache() / "kind.kubeconfig"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(kubeconfig)
            cluster = Cluster(kind=kind, env={"KUBECONFIG": str(path)}, ours=True)
        case ClusterKind.BARE:
            _passing_through([sys.executable, "-m", "e2e.cluster", "up"], timeout_s=_UP_TIMEOUT_S)
            cluster = Cluster(kind=kind, env=_bare_environment(), ours=True)
    cluster.kubectl("version", "-o", "json", timeout_s=30.0)
    return cluster


def load(cluster: Cluster, archives: Sequence[str]) -> None:
    """Bring image archives to every node of a cluster that is ours.

    Raises:
        CommandError: an import failed.
    """
    match cluster.kind:
        case ClusterKind.BARE:
            _passing_through([sys.executable, "-m", "e2e.cluster", "load", *archives], timeout_s=300.0)
        case ClusterKind.KIND:
            for archive in archives:
                run(["kind", "load", "image-archive", archive, "--name", KIND_CLUSTER], timeout_s=300.0)
        case ClusterKind.EXISTING:
            raise CommandError("images cannot be loaded into an existing cluster: push them to its registry")


def _bare_environment() -> dict[str, str]:
    """Return what ``python -m e2e.cluster status`` exports."""
    lines = run([sys.executable, "-m", "e2e.cluster", "status"]).splitlines()
    exports = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
    variables = dict(export.split("=", 1) for export in exports)
    return {**variables, "PATH": f"{cache() / 'bin'}:{os.environ['PATH']}"}


def _passing_through(command: Sequence[str], *, timeout_s: float) -> None:
    """Run a program that shows its own progress."""
    try:
        code = subprocess.run(command, check=False, timeout=timeout_s).returncode
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(command)}: not done after {timeout_s:.0f} s") from error
    if code:
        raise CommandError(f"{' '.join(command)} failed ({code}): its words stand above")
