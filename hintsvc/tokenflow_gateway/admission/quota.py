"""Asks the hint service for room, and tells it what was used."""

import logging
import random
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar

from pydantic import ValidationError

from tokenflow_api._base import WireModel
from tokenflow_api.backoff import Backoff
from tokenflow_api.quota import AdmitReply, AdmitRequest, CommitReply, CommitRequest
from tokenflow_gateway.admission import metrics
from tokenflow_gateway.errors import GatewayError, QuotaUnavailableError, UpstreamBrokeOffError
from tokenflow_gateway.upstream.hint_service import HintService

_log = logging.getLogger(__name__)

ADMIT_S: Final = 0.25
"""Longest that a request waits for its quota."""
COMMIT_S: Final = 2.0
"""Longest wait for a commit, for which the hint service itself waits a second for Redis."""
FAILURES: Final = 3
"""Failures in a row, after which requests do not wait for an answer any more."""
TOKEN_S: Final = 5.0
"""Age beyond which the token is read anew."""
_MOST_PAUSE_S: Final = 2.0
_UNTRUSTED: Final = (401, 403)
"""Answers to a gateway whose token is not believed: those to other requests would be the same."""
_HOPELESS: Final = (400, 404, 413, 422)
"""Answers that the same commit would get again."""

ReplyT = TypeVar("ReplyT", AdmitReply, CommitReply)


class _Problem(WireModel):
    """What is read of a problem document; nobody else answers with such a one, least of all a proxy."""

    status: int
    code: str
    detail: str = ""
    admission: AdmitReply | None = None

    def __str__(self) -> str:
        return f"the hint service answered {self.status} ({self.code}): {self.detail}"


class QuotaClient:
    """Speaks with the hint service about quotas.

    After ``FAILURES`` failures in a row no request waits for it; one at a time tries whether it is back, after pauses
    that grow to two seconds. A commit that is understood tells so as well. An answer that no hint service gives is a
    failure, such as a proxy's page. A check is sent once more only where its connection, which had rested, was closed
    without a single byte: what the first may have reserved ends by itself.

    Args:
        url: base URL of the hint service.
        token: called for the bearer token; empty sends none.
        tls: called for how https is verified: another context when that changed; by default as the system says.
        clock: monotonic, in seconds.
        uniform: returns a random number between two.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], str] = str,
        tls: Callable[[], ssl.SSLContext] | None = None,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._service = HintService(url, tls=tls, clock=clock)
        self._token = token
        self._clock = clock
        self._backoff = Backoff(most_s=_MOST_PAUSE_S, uniform=uniform)
        self._failures = 0
        self._try_at = 0.0
        self._bearer = ""
        self._token_read_at = float("-inf")
        metrics.REACHABLE.set(1)

    @property
    def reachable(self) -> bool:
        """Whether requests wait for the hint service."""
        return self._failures < FAILURES

    async def admit(self, asked: AdmitRequest) -> AdmitReply:
        """Return what the hint service says of a request; a refusal is a reply.

        Raises:
            QuotaUnavailableError: it says nothing of use.
        """
        if not self.reachable:
            if self._clock() < self._try_at:
                raise QuotaUnavailableError("the hint service is out of reach")
            # Who comes while this one tries does not wait as well.
            self._try_at = self._clock() + ADMIT_S
        started = self._clock()
        answer = await self._ask("/v1/admit", asked, AdmitReply, within_s=ADMIT_S)
        metrics.CHECK.observe(self._clock() - started)
        if isinstance(answer, AdmitReply):
            return answer
        if answer.admission is None:
            raise QuotaUnavailableError(str(answer))
        return answer.admission

    async def commit(self, done: CommitRequest) -> CommitReply | None:
        """Tell what a request took; ``None`` where it is refused, and would be again.

        Raises:
            QuotaUnavailableError: the commit may not have arrived: send it again, it counts once.
        """
        answer = await self._ask("/v1/commit", done, CommitReply, within_s=COMMIT_S)
        if isinstance(answer, CommitReply):
            return answer
        if answer.status not in _HOPELESS:
            raise QuotaUnavailableError(str(answer))
        _log.warning("a commit was refused", extra={"reason": str(answer)})
        return None

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._service.close()

    async def _ask(self, path: str, document: WireModel, kind: type[ReplyT], *, within_s: float) -> ReplyT | _Problem:
        """Post a document, and return the answer that was asked for, or the problem that the document is.

        Raises:
            QuotaUnavailableError: the service is out of reach, failed, does not believe this gateway, or is none.
        """
        status, body = await self._post(path, document, within_s=within_s)
        try:
            answer = (kind if status == HTTPStatus.OK else _Problem).model_validate_json(body)
        except ValidationError as error:
            words = body[:300].decode(errors="replace")
            raise self._failed(f"who answers {status} at {path} is no hint service: {words}") from error
        if (
            isinstance(answer, _Problem)
            and answer.admission is None
            and (status in _UNTRUSTED or status >= HTTPStatus.INTERNAL_SERVER_ERROR)
        ):
            raise self._failed(str(answer))
        self._succeeded()
        return answer

    async def _post(self, path: str, document: WireModel, *, within_s: float) -> tuple[int, bytes]:
        """Post a document; return the status and the body of the answer."""
        body, token = document.model_dump_json().encode(), self._present_token()
        try:
            return await self._service.post(path, body, content_type="application/json", token=token, within_s=within_s)
        except (GatewayError, TimeoutError) as error:
            raise self._failed(f"the hint service does not answer: {_why(error)}") from error

    def _present_token(self) -> str:
        if self._clock() - self._token_read_at > TOKEN_S:
            self._bearer = self._token()
            self._token_read_at = self._clock()
        return self._bearer

    def _failed(self, reason: str) -> QuotaUnavailableError:
        """Count a failure, and return the error that it is."""
        metrics.CHECK_FAILURES.inc()
        self._failures += 1
        if self._failures >= FAILURES:
            pause = self._backoff.failed()
            self._try_at = self._clock() + pause
            if self._failures == FAILURES:
                metrics.REACHABLE.set(0)
                extra = {"reason": reason, "retry_s": round(pause, 2)}
                _log.warning("quotas are out of reach, failureMode decides", extra=extra)
        return QuotaUnavailableError(reason)

    def _succeeded(self) -> None:
        if not self.reachable:
            metrics.REACHABLE.set(1)
            _log.info("quotas are back")
        self._failures = 0
        self._backoff.succeeded()


def _why(error: GatewayError | TimeoutError) -> str:
    match error:
        case TimeoutError():
            return "it took too long"
        case UpstreamBrokeOffError():
            return "it broke off"
        case _:
            return f"no connection ({type(error.__cause__ or error).__name__})"
