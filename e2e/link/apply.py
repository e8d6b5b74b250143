"""Puts a link before a device of this network namespace, and takes it away."""

import subprocess

from e2e.link import Command, Link, clear, degrade

_TIMEOUT_S = 10.0


class LinkError(Exception):
    """The kernel or the container does not let us shape the link."""


def apply(link: Link | None, *, device: str) -> None:
    """Put ``link`` before ``device``; ``None`` leaves it clear.

    Raises:
        LinkError: a command is missing or was refused; the message holds its words.
    """
    for command in clear(device=device):
        _run(command)
    for command in degrade(link, device=device) if link else ():
        result = _run(command)
        if result.returncode:
            raise LinkError(f"{' '.join(command)}: {result.stderr.strip()} (it needs the NET_ADMIN capability)")


def _run(command: Command) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise LinkError(f"{command[0]}: {error} (install iproute2 and nftables)") from error
