"""Hint reads as responses, kept whole as long as they stay the same."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from tokenflow_hintsvc.api.service import Service
from tokenflow_hintsvc.fast.messages import Request, Response, response
from tokenflow_hintsvc.fast.targets import Target
from tokenflow_hintsvc.guard.caller import Caller
from tokenflow_hintsvc.view.answers import CACHE_CONTROL, HintAnswer, check_path
from tokenflow_hintsvc.view.current import TICK_S

MAX_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: HintAnswer
    full: Response
    unmodified: Response

    def response(self, request: Request) -> Response:
        known = b"if-none-match" in request.headers and self.answer.is_known(request.header(b"if-none-match"))
        return self.unmodified if known else self.full


class Reads:
    """The responses to hint reads. They are made anew after each snapshot, and once more in each ``TICK_S``."""

    def __init__(self, service: Service, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._kept: dict[tuple[bytes, frozenset[str]], _Kept] = {}
        self._until = 0.0
        service.view.on_change(self._kept.clear)

    def kept(self, request: Request, caller: Caller) -> Response | None:
        """Return what ``read`` would, if somebody who may read the same asked the same a moment ago."""
        now = self._clock()
        if now >= self._until:
            self._until = now + TICK_S
            self._kept.clear()
        kept = self._kept.get((request.target, caller.readable))
        return kept.response(request) if kept else None

    def read(self, request: Request, target: Target, caller: Caller) -> Response:
        """Return the answer to a hint read.

        Raises:
            ProblemError: the tenant is not theirs to read, or the path is none.
        """
        self._service.check_readable(caller, target.tenant)
        answer = self._service.answers.get(target.tenant, check_path(target.path), self._service.config())
        headers = {"Cache-Control": CACHE_CONTROL, "ETag": answer.etag}
        full = response(HTTPStatus.OK, {"Content-Type": "application/json", **headers}, answer.body)
        kept = _Kept(answer, full, response(HTTPStatus.NOT_MODIFIED, headers))
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[request.target, caller.readable] = kept
        return kept.response(request)
