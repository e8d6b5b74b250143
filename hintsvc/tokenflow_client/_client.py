"""The asyncio client."""

import asyncio
from collections.abc import AsyncIterable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

import httpx

from tokenflow_api.hints import ALL_PATHS
from tokenflow_client._errors import UsageError
from tokenflow_client._openai import paced_copy
from tokenflow_client._options import Endpoint, Options
from tokenflow_client._paced import Paced, PacedBatches, PacedStream, one
from tokenflow_client._session import HintSession
from tokenflow_client._state import State, Status

T = TypeVar("T")
C = TypeVar("C")


class TokenFlow:
    """Paces streams by the hints of a policy, while it is open.

    ``async with TokenFlow(url, api_key=key) as tf: async for token in tf.pace(stream): ...``

    It begins at once, at the fallback rate; the first hint comes as soon as the hint service answers.

    Args:
        url: base URL of the hint service.
        api_key: of the tenant.
        tenant: whose hints; by default the only one that the key can read.
        path: ``<upstream>/<destination class>``; by default the hint that holds for all paths of the tenant.
        options: how to pace.
        on_state: called with each status whose state or circuit differs from the last.
        client: HTTP client to use, which the caller closes; by default one of its own.
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
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._options = options or Options()
        endpoint = Endpoint(url=url, api_key=api_key, tenant=tenant, path=path)
        self._session = HintSession(endpoint, self._options, on_state=on_state, client=client)
        self._following: asyncio.Task[None] | None = None
        self._streams: WeakSet[Paced[Any]] = WeakSet()

    @property
    def state(self) -> State:
        """What the rate comes from."""
        return self._session.status.state

    @property
    def status(self) -> Status:
        """What streams go by, and why."""
        return self._session.status

    def pace(self, stream: AsyncIterable[T], *, tokens: Callable[[T], int] = one) -> PacedStream[T]:
        """Return the items of ``stream``, in their order, each when it is due.

        Args:
            stream: any asynchronous iterable; it is read ahead, and closed in the end.
            tokens: tokens in an item; by default each is one.

        Raises:
            UsageError: the client is not open.
        """
        self._check_open()
        paced = PacedStream(stream, session=self._session, options=self._options, tokens=tokens)
        self._streams.add(paced)
        return paced

    def batches(self, stream: AsyncIterable[T], *, tokens: Callable[[T], int] = one) -> PacedBatches[T]:
        """Return the items of ``stream`` in lists, as the adaptive batch window has them.

        Args:
            stream: any asynchronous iterable; it is read ahead, and closed in the end.
            tokens: tokens in an item; by default each is one.

        Raises:
            UsageError: the client is not open.
        """
        self._check_open()
        paced = PacedBatches(stream, session=self._session, options=self._options, tokens=tokens)
        self._streams.add(paced)
        return paced

    def wrap(self, client: C) -> C:
        """Return a copy of an ``openai.AsyncOpenAI`` whose streams are paced; all else is as before.

        Both share their connections: closing one closes the other.

        Raises:
            UsageError: it is no such client.
        """
        return paced_copy(client, self.pace)

    async def aclose(self) -> None:
        """Close the streams that are open, and follow no hints any longer.

        Raises:
            Exception: a source could not be closed; all others are.
        """
        following, self._following = self._following, None
        async with AsyncExitStack() as closing:
            if following is not None:
                closing.push_async_callback(_end, following)
            for stream in list(self._streams):
                closing.push_async_callback(stream.aclose)

    async def __aenter__(self) -> Self:
        if self._following is not None:
            raise UsageError("the client is open already: open it once, and share it")
        self._following = asyncio.create_task(self._session.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _check_open(self) -> None:
        if self._following is None:
            raise UsageError("the client is not open: write `async with TokenFlow(...) as tf:`")


async def _end(following: asyncio.Task[None]) -> None:
    following.cancel()
    await asyncio.wait([following])
    if not following.cancelled() and (error := following.exception()):
        raise error
