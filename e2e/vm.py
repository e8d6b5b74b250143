"""Another kernel on this machine: runs a command under it, with this machine's files.

QEMU boots a kernel of the distribution with a small first file system; virtiofs then shows it the whole root of
this machine, read-only. Thus the same tests run under a second kernel, without an image and without KVM.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGES: Final = ("qemu-system-x86", "linux-image-cloud-amd64", "busybox-static")

_VIRTIOFSD: Final = Path("/usr/lib/qemu/virtiofsd")
_MODULES: Final = ("virtio_pci", "virtiofs")
_MEMORY_MIB: Final = 1536
_STOP_S: Final = 5.0
_STATUS: Final = re.compile(r"^command ended (\d+)\r?$", re.MULTILINE)
_BEGUN: Final = "command begins"

_INIT: Final = """#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
for module in $(busybox cat /modules/order); do busybox insmod /modules/$module; done
busybox mount -t virtiofs -o ro host /host || busybox poweroff -f
busybox mount -t proc proc /host/proc
busybox mount -t sysfs sysfs /host/sys
busybox mount -t cgroup2 cgroup2 /host/sys/fs/cgroup
busybox mount -t devtmpfs devtmpfs /host/dev
busybox mkdir /host/dev/shm
busybox mount -t tmpfs tmpfs /host/dev/shm
busybox mount -t tmpfs tmpfs /host/run
busybox ip link set lo up
echo {begun}
busybox chroot /host /bin/sh -c {command}
echo command ended $?
busybox poweroff -f
"""


class VmError(Exception):
    """The second kernel did not come up, or the command did not end in time; the message holds its last words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """A kernel that is installed here.

    Attributes:
        image: its file.
        modules: directory of its modules.
    """

    image: Path
    modules: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of a command.

    Attributes:
        status: its exit status.
        output: what it wrote.
    """

    status: int
    output: str


def missing() -> list[str]:
    """Return the packages that this machine lacks for it."""
    there = (shutil.which("qemu-system-x86_64") and _VIRTIOFSD.exists(), kernel() is not None, _busybox())
    return [package for package, present in zip(PACKAGES, there, strict=True) if not present]


def kernel() -> Kernel | None:
    """Return the newest kernel for clouds that is installed here."""
    for image in sorted(Path("/boot").glob("vmlinuz-*-cloud-amd64"), reverse=True):
        modules = Path("/lib/modules") / image.name.removeprefix("vmlinuz-")
        if modules.is_dir():
            return Kernel(image=image, modules=modules)
    return None


def run(command: Sequence[str], *, directory: Path, timeout_s: float) -> Result:
    """Run ``command`` as root in ``directory`` under the other kernel; only /dev/shm and /run can be written to.

    Raises:
        VmError: see there.
    """
    found = kernel()
    if found is None:
        raise VmError(f"there is no kernel in /boot: run 'apt-get install {PACKAGES[1]}'")
    script = f"cd {shlex.quote(str(directory))} && HOME=/dev/shm TMPDIR=/dev/shm exec {shlex.join(command)}"
    with tempfile.TemporaryDirectory() as folder, _shared_root(Path(folder) / "root.sock") as socket:
        first = _first_files(Path(folder), found, script)
        try:
            ended = subprocess.run(
                _qemu(found, first, socket),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            raise VmError(f"no end after {timeout_s:.0f} s: {_tail(error.stdout or b'')}") from error
    words = ended.stdout.decode(errors="replace")
    status = _STATUS.search(words)
    if status is None:
        raise VmError(f"the second kernel ended early: {_tail(ended.stdout)} {_tail(ended.stderr)}")
    return Result(status=int(status[1]), output=words[: status.start()].partition(_BEGUN)[2].strip())


def _qemu(found: Kernel, first: Path, socket: Path) -> list[str]:
    return [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2"),
        *("-m", str(_MEMORY_MIB), "-object", f"memory-backend-memfd,id=memory,size={_MEMORY_MIB}M,share=on"),
        *("-numa", "node,memdev=memory", "-chardev", f"socket,id=root,path={socket}"),
        *("-device", "vhost-user-fs-pci,chardev=root,tag=host", "-nic", "none"),
        *("-kernel", str(found.image), "-initrd", str(first), "-append", "console=ttyS0 quiet panic=-1"),
        *("-nographic", "-no-reboot"),
    ]


@contextmanager
def _shared_root(socket: Path) -> Iterator[Path]:
    """Serve this machine's root at ``socket``."""
    command = [
        str(_VIRTIOFSD),
        f"--socket-path={socket}",
        "-o",
        "source=/",
        "-o",
        "sandbox=chroot",
        "-o",
        "cache=always",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            # It says when it waits for somebody to connect.
            if server.stdout is None or b"Waiting" not in server.stdout.readline():
                raise VmError("virtiofsd did not start: it needs root")
            yield socket
        finally:
            server.terminate()
            try:
                server.communicate(timeout=_STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()


def _first_files(folder: Path, found: Kernel, script: str) -> Path:
    """Write the file system that the kernel starts with, and return its archive."""
    tree = folder / "tree"
    for name in ("bin", "modules", "proc", "host"):
        (tree / name).mkdir(parents=True)
    shutil.copy(_busybox() or "", tree / "bin" / "busybox")
    modules = [found.modules / name for name in _in_order(found.modules)]
    for module in modules:
        shutil.copy(module, tree / "modules")
    (tree / "modules" / "order").write_text("\n".join(module.name for module in modules))
    init = tree / "init"
    init.write_text(_INIT.format(begun=_BEGUN, command=shlex.quote(script)))
    init.chmod(0o755)
    names = "\n".join(os.fspath(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    archive = folder / "first.cpio"
    with archive.open("wb") as file:
        subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc"],
            cwd=tree,
            input=names.encode(),
            stdout=file,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return archive


def _in_order(modules: Path) -> list[str]:
    """Return the files of the modules, each after those that it needs (modules.dep lists these, last one first)."""
    needs = {
        Path(name).stem: [*reversed(rest.split()), name]
        for name, _, rest in (line.partition(":") for line in (modules / "modules.dep").read_text().splitlines())
    }
    return list(dict.fromkeys(name for module in _MODULES for name in needs[module]))


def _busybox() -> str | None:
    return shutil.which("busybox")


def _tail(words: bytes) -> str:
    return words.decode(errors="replace").strip()[-2000:]
