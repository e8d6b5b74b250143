"""Posts messages. Every error of the library underneath is mapped here, and stripped of the receiver's URL."""

import asyncio
from http import HTTPStatus
from typing import Final

import aiohttp

from tokenflow_operator.notify.errors import ReceiverAwayError, ReceiverRefusedError
from tokenflow_operator.notify.message import Message

TIMEOUT_S: Final = 10.0
_MOST_AFTER_S: Final = 60.0
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "tokenflow-operator"}
_AGAIN: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class Poster:
    """Posts over HTTP: certificates are verified, and redirects are not followed, since they may lead anywhere."""

    def __init__(self, session: aiohttp.ClientSession, *, timeout_s: float = TIMEOUT_S) -> None:
        """Use a session.

        Args:
            session: owned by the caller; it keeps no cookies.
            timeout_s: of one attempt, from the name's resolution to the answer's status.
        """
        self._session = session
        self._timeout_s = timeout_s

    async def post(self, message: Message) -> None:
        """Post a message.

        Raises:
            ReceiverAwayError: it was not taken now, and may be later.
            ReceiverRefusedError: it never will be.
        """
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.post(message.url, data=message.body, headers=_HEADERS, allow_redirects=False) as response,
            ):
                status, after_s = response.status, _after_s(response)
        except aiohttp.InvalidURL as error:
            raise ReceiverRefusedError("its URL is none") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ReceiverAwayError(_words(error)) from error
        if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ReceiverAwayError(f"it answered {status}", after_s=after_s)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise ReceiverRefusedError(f"it answered {status}")


def _after_s(response: aiohttp.ClientResponse) -> float:
    try:
        return min(_MOST_AFTER_S, max(0.0, float(response.headers.get("Retry-After", "0"))))
    except ValueError:
        # A date: a pause of our own does as well.
        return 0.0


def _words(error: Exception) -> str:
    """Return what went wrong: the words of some of these errors hold the URL."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "")
            return f"its certificate cannot be verified: {reason or type(error.certificate_error).__name__}"
        case aiohttp.ClientConnectorError():
            return f"no connection: {error.os_error.strerror or type(error.os_error).__name__}"
        case TimeoutError():
            return "it does not answer in time"
        case _:
            return f"the connection failed: {type(error).__name__}"
