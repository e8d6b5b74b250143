"""What this listener serves, and to whom."""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tokenflow_hintsvc.api.service import Service
from tokenflow_hintsvc.fast.messages import Request, Response, response
from tokenflow_hintsvc.fast.reads import Reads
from tokenflow_hintsvc.fast.targets import OTHER_ROUTE, STREAM_ROUTE, parse_target
from tokenflow_hintsvc.guard.caller import Caller
from tokenflow_hintsvc.problems import method_not_allowed, not_found
from tokenflow_hintsvc.view.feed import STREAM_HEADERS

if TYPE_CHECKING:
    from tokenflow_hintsvc.fast.connection import Connection

_METHODS: Final = (b"GET", b"HEAD")


class Site:
    """The resources of the listener, as its connections see them.

    Attributes:
        service: the replica.
        connections: all that are open.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.connections: set[Connection] = set()
        self._working: set[asyncio.Task[None]] = set()
        self._reads = Reads(service)

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do some work of a connection beside what it does; the connection cancels it when it ends."""
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    async def rest(self) -> None:
        """Wait for the work of connections that have ended."""
        await asyncio.gather(*self._working, return_exceptions=True)

    def answer(self, request: Request, caller: Caller) -> Response | None:
        """Return the response to a request; ``None`` where it is an open stream.

        Raises:
            ProblemError: there is none such, or the caller may not.
        """
        if request.method in _METHODS and (kept := self._reads.kept(request, caller)):
            return kept
        target = parse_target(request.target)
        if target.route == OTHER_ROUTE:
            raise not_found()
        if request.method not in _METHODS:
            raise method_not_allowed(request.method.decode("ascii"), allowed="GET, HEAD")
        if target.route != STREAM_ROUTE:
            return self._reads.read(request, target, caller)
        return response(HTTPStatus.OK, STREAM_HEADERS) if request.method == b"HEAD" else None
