"""The blocking client. Hints are followed in a thread of its own, the only one that it has."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

from tokenflow_api.hints import ALL_PATHS
from tokenflow_client._errors import UsageError
from tokenflow_client._openai import sync_paced_copy
from tokenflow_client._options import Endpoint, Options
from tokenflow_client._paced import one
from tokenflow_client._session import HintSession
from tokenflow_client._state import State, Status
from tokenflow_client._sync_paced import SyncPaced, SyncPacedBatches, SyncPacedStream

T = TypeVar("T")
C = TypeVar("C")


class SyncTokenFlow:
    """Paces blocking streams by the hints of a policy, while it is open.

    ``with SyncTokenFlow(url, api_key=key) as tf: for token in tf.pace(stream): ...``

    It begins at once, at the fallback rate; the first hint comes as soon as the hint service answers. Threads may share
    it; a stream belongs to one of them.

    Args:
        url: base URL of the hint service.
        api_key: of the tenant.
        tenant: whose hints; by default the only one that the key can read.
        path: ``<upstream>/<destination class>``; by default the hint that holds for all paths of the tenant.
        options: how to pace; ``buffer`` means nothing here, for nothing is read ahead.
        on_state: called, in the thread that follows hints, with each status whose state or circuit differs from the
            last.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        tenant: str = "",
        path: str = ALL_PATHS,
        options: Options | None = None,
        on_state: Callable[[Status], None] | None = None,
    ) -> None:
        self._options = options or Options()
        endpoint = Endpoint(url=url, api_key=api_key, tenant=tenant, path=path)
        self._session = HintSession(endpoint, self._options, on_state=on_state)
        self._thread: _Following | None = None
        self._streams: WeakSet[SyncPaced[Any]] = WeakSet()
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """What the rate comes from."""
        return self._session.status.state

    @property
    def status(self) -> Status:
        """What streams go by, and why."""
        return self._session.status

    def pace(self, stream: Iterable[T], *, tokens: Callable[[T], int] = one) -> SyncPacedStream[T]:
        """Return the items of ``stream``, in their order, each when it is due.

        Args:
            stream: any iterable; it is closed in the end.
            tokens: tokens in an item; by default each is one.

        Raises:
            UsageError: the client is not open.
        """
        paced = SyncPacedStream(stream, session=self._session, options=self._options, tokens=tokens)
        self._add(paced)
        return paced

    def batches(self, stream: Iterable[T], *, tokens: Callable[[T], int] = one) -> SyncPacedBatches[T]:
        """Return the items of ``stream`` in lists, as the adaptive batch window has them.

        Args:
            stream: any iterable; it is closed in the end.
            tokens: tokens in an item; by default each is one.

        Raises:
            UsageError: the client is not open.
        """
        paced = SyncPacedBatches(stream, session=self._session, options=self._options, tokens=tokens)
        self._add(paced)
        return paced

    def wrap(self, client: C) -> C:
        """Return a copy of an ``openai.OpenAI`` whose streams are paced; all else is as before.

        Both share their connections: closing one closes the other.

        Raises:
            UsageError: it is no such client.
        """
        return sync_paced_copy(client, self.pace)

    def close(self) -> None:
        """Close the streams that are open, and end the thread.

        Raises:
            Exception: a source could not be closed; all others are.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            streams = list(self._streams)
        with ExitStack() as closing:
            if thread is not None:
                closing.callback(thread.end)
            for stream in streams:
                closing.callback(stream.close)

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise UsageError("the client is open already: open it once, and share it")
        self._thread = _Following(self._session)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, stream: SyncPaced[Any]) -> None:
        with self._lock:
            if self._thread is None:
                raise UsageError("the client is not open: write `with SyncTokenFlow(...) as tf:`")
            if not self._thread.alive:
                raise UsageError("no thread of this process follows hints: open the client after a fork, not before")
            self._streams.add(stream)


class _Following:
    """A thread that follows hints, from its construction until ``end``."""

    def __init__(self, session: HintSession) -> None:
        self._session = session
        self._loop = asyncio.new_event_loop()
        self._work = self._loop.create_task(session.run())
        # A program that forgets to close must still be able to end.
        self._thread = threading.Thread(target=self._run, name="tokenflow-hints", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(_ended(self._work))

    @property
    def alive(self) -> bool:
        """Whether it runs; a fork leaves it with the parent."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Stop, and wait until the connections are closed; raises what broke, if anything did."""
        if self.alive:
            self._loop.call_soon_threadsafe(self._work.cancel)
            self._thread.join()
        if self._work.done() and not self._work.cancelled() and (error := self._work.exception()):
            raise error


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
