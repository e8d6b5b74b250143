"""Mounted Secrets and ConfigMaps: what is in them, and whether that changed."""

from pathlib import Path


def files(directory: Path) -> list[Path]:
    """Return the values of a mount, which may not be there yet."""
    return sorted(directory.glob("[!.]*"))


def mark(directory: Path) -> object:
    """Return something that is another when the values are: the kubelet swaps a link, people write files."""
    try:
        return (directory / "..data").readlink()
    except OSError:
        return [(file.name, *_stamp(file)) for file in files(directory)]


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_mtime_ns, status.st_size
