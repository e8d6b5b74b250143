"""The blocking client: its pace, its one thread, and what it closes."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.client.hint_service import FakeHintService, hint
from tokenflow_client import Options, State, StreamInterruptedError, SyncTokenFlow, UsageError


@pytest.fixture
def tf(unused_tcp_port: int) -> Iterator[SyncTokenFlow]:
    with SyncTokenFlow(f"http://127.0.0.1:{unused_tcp_port}", options=Options(fallback=100.0)) as tf:
        yield tf


class Told:
    def __init__(self, items: int, error: Exception | None = None) -> None:
        self._items = iter(range(items))
        self._error = error
        self.closed = False

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        try:
            return next(self._items)
        except StopIteration:
            raise self._error or StopIteration from None

    def close(self) -> None:
        self.closed = True


def test_items_come_in_order_at_the_fallback_rate(tf: SyncTokenFlow) -> None:
    source, started = Told(31), time.monotonic()
    assert list(tf.pace(source)) == list(range(31))
    assert time.monotonic() - started >= 30 / 100 - 0.1
    assert source.closed


def test_batches_lose_nothing_and_tell_an_error_last(tf: SyncTokenFlow) -> None:
    found, batches = list[int](), tf.batches(Told(31, ValueError("cut")))

    def read() -> None:
        for batch in batches:
            found.extend(batch)
            time.sleep(0.03)

    with pytest.raises(ValueError, match="cut"):
        read()
    assert found == list(range(31))


def test_a_stream_and_a_client_that_close_let_the_source_go() -> None:
    first, second = Told(9), Told(9)
    with SyncTokenFlow("http://127.0.0.1:9") as tf:
        with tf.pace(first) as paced:
            assert next(paced) == 0
        assert first.closed
        assert list(paced) == []
        left_open = tf.pace(second)
        assert next(left_open) == 0
    assert second.closed
    with pytest.raises(UsageError, match="with SyncTokenFlow"):
        tf.pace(second)


def test_what_cannot_be_paced_is_refused_with_what_to_write(tf: SyncTokenFlow) -> None:
    with pytest.raises(UsageError, match="a TokenFlow what `async for` does"):
        tf.pace(3)  # type: ignore[arg-type]


def test_a_source_that_cannot_be_closed_keeps_neither_the_others_nor_the_thread() -> None:
    class Broken(Told):
        def close(self) -> None:
            raise OSError("still open")

    def work(*sources: Told) -> None:
        with SyncTokenFlow("http://127.0.0.1:9") as tf:
            streams = [tf.pace(source) for source in sources]
            assert [next(paced) for paced in streams] == [0, 0, 0]

    first, last = Told(9), Told(9)
    with pytest.raises(OSError, match="still open"):
        work(first, Broken(9), last)
    assert (first.closed, last.closed) == (True, True)
    assert "tokenflow-hints" not in [thread.name for thread in threading.enumerate()]


def test_a_source_that_another_thread_waits_for_is_closed_by_that_thread() -> None:
    waiting, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def told() -> Iterator[int]:
        try:
            waiting.set()
            go_on.wait(30)
            yield 1
            yield 2
        finally:
            closed.set()

    found: list[int] = []
    with SyncTokenFlow("http://127.0.0.1:9") as tf:
        paced = tf.pace(told())
        reader = threading.Thread(target=lambda: found.extend(paced))
        reader.start()
        assert waiting.wait(30)
    assert not closed.is_set()
    go_on.set()
    reader.join(30)
    assert closed.is_set()
    assert found == [1]


def test_a_client_from_before_a_fork_says_so_and_can_be_closed() -> None:
    program = """
import os
from tokenflow_client import SyncTokenFlow, UsageError

with SyncTokenFlow("http://127.0.0.1:9") as tf:
    child = os.fork()
    if not child:
        try:
            tf.pace([1])
        except UsageError as error:
            print(error)
        tf.close()
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), list(tf.pace([1])))
"""
    ran = subprocess.run([sys.executable, "-u", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == ("no thread of this process follows hints: open the client after a fork, not before\n7 [1]\n")


async def test_one_thread_follows_the_hints_and_ends_with_the_client(hints: FakeHintService) -> None:
    await hints.say(hint(40.0))
    states: list[State] = []

    def work() -> tuple[list[str], list[str]]:
        before = set(threading.enumerate())
        with SyncTokenFlow(hints.url, on_state=lambda status: states.append(status.state)) as tf:
            while tf.state is not State.LIVE:
                time.sleep(0.01)
            assert tf.status.tokens_per_second == 40.0
            during = set(threading.enumerate()) - before
        return [thread.name for thread in during], [thread.name for thread in set(threading.enumerate()) - before]

    during, after = await asyncio.to_thread(work)
    assert during == ["tokenflow-hints"]
    assert after == []
    assert states[0] is State.LIVE


class DrainingError(Exception):
    code = "gateway_draining"


def test_a_gateway_that_leaves_is_told(tf: SyncTokenFlow) -> None:
    with pytest.raises(StreamInterruptedError) as raised:
        list(tf.pace(Told(2, DrainingError())))
    assert raised.value.tokens == 2
