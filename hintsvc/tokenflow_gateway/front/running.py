"""The exchanges in flight: their tasks belong to the listener, not to connections, which may end before them."""

import asyncio
import logging
import traceback
from typing import Final, Protocol

from tokenflow_gateway.errors import GatewayError
from tokenflow_gateway.front import metrics
from tokenflow_gateway.front.exchange import Answer, Handler, Request

_log = logging.getLogger(__name__)

_CANCEL_S: Final = 1.0
"""Time that a handler which is cancelled has for its last words."""


class Carried(Answer, Protocol):
    """An answer as a connection carries it."""

    @property
    def over(self) -> bool:
        """Whether it was finished or broken off, or its reader has left."""
        ...


class Exchanges:
    """Runs the handler for each request.

    Args:
        handler: answers requests.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, request: Request, answer: Carried) -> asyncio.Task[None]:
        """Answer a request."""
        task = asyncio.get_running_loop().create_task(self._answer(request, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cancel(self) -> int:
        """Break off those that are left; return how many."""
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CANCEL_S)
        return len(left)

    async def _answer(self, request: Request, answer: Carried) -> None:
        try:
            await self._handler(request, answer)
        except ConnectionResetError as error:
            _log.debug("a reader left", extra={"reason": str(error)})
        except Exception as error:  # noqa: BLE001 - whatever it was, the reader learns that it failed
            metrics.FAILED.inc()
            # Without its message, which may repeat what was asked.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("an exchange failed", extra={"error": type(error).__name__, "where": where})
            if not answer.started:
                refuse(answer, GatewayError("the gateway failed; its log tells why"))
        finally:
            if not answer.over:
                answer.abort()


def refuse(answer: Answer, error: GatewayError) -> None:
    """Answer with an error in OpenAI's form."""
    answer.start(error.status, {"Content-Type": "application/json", **error.headers()})
    answer.write(error.body().encode())
    answer.finish()
