"""Brings images to the nodes without a registry."""

import shutil
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from e2e.cluster.errors import ClusterError
from e2e.cluster.settings import PAUSE_IMAGE, Layout, Node
from e2e.commands import run

_PAUSE_SOURCE: Final = """
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int number) { _exit(0); }
static void reap(int number) { while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGTERM, leave); signal(SIGINT, leave); signal(SIGCHLD, reap);
  for (;;) pause();
}
"""
_IMPORT_TIMEOUT_S: Final = 180.0


def load(layout: Layout, nodes: Sequence[Node], images: Sequence[str]) -> None:
    """Import images into every node.

    Args:
        layout: where the programs are.
        nodes: the nodes.
        images: archives by path, or names of images that buildah knows.

    Raises:
        ClusterError: there are no nodes.
        CommandError: an image is unknown, or a node refused it.
    """
    if not nodes:
        raise ClusterError("this cluster has no nodes to load images into: bring one up with --nodes 1 or more")
    archives = [Path(image) if Path(image).is_file() else _export(layout, image) for image in images]
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        for done in [pool.submit(_import, layout, node, archives) for node in nodes]:
            done.result()


def pause_archive(layout: Layout) -> Path:
    """Return an archive of the image that holds a pod's namespaces open; it is built once.

    Raises:
        ClusterError: the compiler failed.
    """
    archive = layout.cache / "images" / "pause.tar"
    if archive.exists():
        return archive
    directory = layout.cache / "images" / "pause"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pause.c").write_text(_PAUSE_SOURCE)
    (directory / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
    run(["cc", "-static", "-Os", "-o", str(directory / "pause"), str(directory / "pause.c")])
    environment = {"BUILDAH_ISOLATION": "chroot"}
    run(["buildah", "bud", "-q", "-t", PAUSE_IMAGE, str(directory)], env=environment)
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    run(["buildah", "push", "-q", PAUSE_IMAGE, f"docker-archive:{partial}:{PAUSE_IMAGE}"], env=environment)
    if not tarfile.is_tarfile(partial):
        raise ClusterError(f"{partial} is not an image archive: remove it and try again")
    partial.rename(archive)
    return archive


def _export(layout: Layout, image: str) -> Path:
    if not shutil.which("buildah"):
        raise ClusterError(f"{image} is no file, and buildah is not installed: run 'apt-get install -y buildah'")
    archive = layout.state / "images" / f"{image.replace('/', '_').replace(':', '_')}.tar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    run(["buildah", "push", "-q", image, f"docker-archive:{archive}:{image}"], timeout_s=_IMPORT_TIMEOUT_S)
    return archive


def _import(layout: Layout, node: Node, archives: Sequence[Path]) -> None:
    """Import what the node does not have yet."""
    for archive in archives:
        status = archive.stat()
        identity = f"{archive} {status.st_size} {status.st_mtime_ns}"
        known = node.directory / "loaded" / archive.name
        if known.exists() and known.read_text() == identity:
            continue
        run(
            [
                *(str(layout.binaries / "ctr"), "-a", str(node.containerd_socket), "-n", "k8s.io"),
                *("images", "import", str(archive)),
            ],
            timeout_s=_IMPORT_TIMEOUT_S,
        )
        known.parent.mkdir(exist_ok=True)
        known.write_text(identity)
