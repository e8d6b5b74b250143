"""Reads one network namespace after the other."""

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.sockets.namespaces import GONE, inside
from tokenflow_agent.sockets.rotation import Rotation
from tokenflow_agent.sockets.sock_diag import SockDiag

T = TypeVar("T")


def visit_each(rotation: Rotation, processes: Mapping[int, int], read: Callable[[int, int], T]) -> dict[int, T]:
    """Return what is read of the namespaces whose turn it is, by inode; one that is gone is left out.

    Args:
        rotation: says whose turn it is.
        processes: pid of one process in each namespace.
        read: reads one of them, given its inode and the pid.

    Raises:
        ProbeError: the node does not allow it.
    """
    answers: dict[int, T] = {}
    for network, pid in rotation.turn(processes):
        try:
            answers[network] = read(network, pid)
        except ProbeError as error:
            if error.reason != GONE:
                raise
    return answers


async def visit(rotation: Rotation, processes: Mapping[int, int], ask: Callable[[int, SockDiag], T]) -> dict[int, T]:
    """Return the answers of the namespaces whose turn it is, by inode; one that is gone is left out.

    Args:
        rotation: says whose turn it is.
        processes: pid of one process in each namespace.
        ask: asks in one of them, given its inode.

    Raises:
        ProbeError: namespaces may not be entered, or the kernel refused.
    """

    def enter(network: int, pid: int) -> T:
        with inside(pid), SockDiag() as diag:
            return ask(network, diag)

    # A thread that ends afterwards, so that none goes on in a foreign namespace.
    with ThreadPoolExecutor(1, "namespaces") as thread:
        return await asyncio.get_running_loop().run_in_executor(thread, visit_each, rotation, processes, enter)


async def check_entry() -> None:
    """Find out whether this process may enter network namespaces and list their sockets.

    Raises:
        ProbeError: it may not; the message says what it needs.
    """
    own = {0: os.getpid()}
    await visit(Rotation(), own, lambda _, diag: diag.listeners())
