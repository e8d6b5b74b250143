"""What every request to the hint service has in common."""

import secrets
import ssl
from collections.abc import Callable
from typing import Final

import httpx

from tokenflow_client._errors import HintsUnavailableError, UsageError

CONNECT_S: Final = 2.0
SILENCE_S: Final = 15.0
"""The service sends a comment every 10 s: after a longer silence it is gone."""
TIMEOUT: Final = httpx.Timeout(CONNECT_S, read=SILENCE_S)
LIMITS: Final = httpx.Limits(max_connections=4, max_keepalive_connections=2, keepalive_expiry=30.0)
"""One connection for the stream, one for reads, and as many again while others break."""

NO_CLIENT: Final = (OSError, ImportError, ValueError, httpx.InvalidURL)
"""What httpx raises where it cannot do as the environment says."""
CHECK_ENVIRONMENT: Final = "no connection can be made: look at SSL_CERT_FILE and the proxies in the environment"

Trust = ssl.SSLContext | Callable[[], ssl.SSLContext]
"""How https is verified.

A function is asked before each request, so that an authority can be taken back: what it returned before while nothing
has changed, else another context, and all connections are made anew.
"""


class Connections:
    """The pool of connections to one hint service.

    Args:
        token: called for the bearer token of each request; empty sends none.
        tls: how https is verified; by default as the system says.
        client: pool of the caller's, who closes it; by default one of its own.

    Raises:
        UsageError: both ``tls`` and ``client`` are given.
    """

    def __init__(
        self,
        *,
        token: Callable[[], str] = str,
        tls: Trust | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        if client is not None and tls is not None:
            raise UsageError("tls: the HTTP client that is given verifies https itself; tell it, and leave this out")
        self._token = token
        self._tls = tls
        self._given = client
        self._own: httpx.AsyncClient | None = None
        self._context: ssl.SSLContext | None = None

    async def client(self) -> httpx.AsyncClient:
        """Return the pool; a new one where what it trusts has changed.

        Raises:
            HintsUnavailableError: what to trust cannot be read, a proxy of the environment cannot be used, or the
                caller closed the pool.
        """
        if self._given is not None:
            if self._given.is_closed:
                raise HintsUnavailableError("the HTTP client that was given is closed: close it after this one")
            return self._given
        try:
            context = self._tls() if callable(self._tls) else self._tls
        except OSError as error:
            raise HintsUnavailableError(f"certificates refused: {error}") from error
        if self._own is not None and context is self._context:
            return self._own
        try:
            own = httpx.AsyncClient(verify=context or True, timeout=TIMEOUT, limits=LIMITS)
        except NO_CLIENT as error:
            raise HintsUnavailableError(f"{CHECK_ENVIRONMENT} ({error})") from error
        # Whoever comes while the other closes finds this one.
        before, self._own, self._context = self._own, own, context
        if before is not None:
            await before.aclose()
        return own

    def headers(self) -> dict[str, str]:
        """Return the headers of one request: who asks, and a trace that the service's log names, and nobody samples."""
        token = self._token()
        trace = {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"}
        return trace | ({"Authorization": f"Bearer {token}"} if token else {})

    async def aclose(self) -> None:
        """Close the pool, where it is its own."""
        if self._own is not None:
            own, self._own = self._own, None
            await own.aclose()
