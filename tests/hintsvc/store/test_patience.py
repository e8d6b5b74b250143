"""Deadlines of answers."""

import asyncio
import socket
import time

import pytest

from tokenflow_hintsvc.store.patience import within


async def read(sock: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, 10)


async def test_what_arrived_while_the_loop_stood_still_is_taken() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)

        def stand_still() -> None:
            there.send(b"answer")
            time.sleep(0.1)

        asyncio.get_running_loop().call_soon(stand_still)
        assert await within(0.05, read(here)) == b"answer"


async def test_silence_ends_the_wait_and_the_work() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        with pytest.raises(TimeoutError, match="no answer within 10 ms"):
            await within(0.01, read(here))
        assert len(asyncio.all_tasks()) == 1


async def test_an_error_is_the_callers() -> None:
    async def fail() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await within(0.05, fail())
