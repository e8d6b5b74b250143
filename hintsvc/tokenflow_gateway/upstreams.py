"""Chooses an upstream and opens requests to it."""

import itertools
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import aiohttp
from yarl import URL

from tokenflow_api.pacing_policy import Timeouts, Upstream
from tokenflow_api.quantities import seconds
from tokenflow_gateway import metrics
from tokenflow_gateway.errors import ModelNotFoundError, UpstreamError, UpstreamTimeoutError

_FORWARDED: Final[tuple[str, ...]] = (
    "Accept",
    "Content-Type",
    "OpenAI-Organization",
    "OpenAI-Project",
    "traceparent",
    "tracestate",
)
_LIMIT: Final = 10_000


def choose(upstreams: Sequence[Upstream], model: str, *, uniform: Callable[[], float] = random.random) -> Upstream:
    """Return an upstream that serves ``model``, by weight.

    Raises:
        ModelNotFoundError: none does; the message names the models that are served.
    """
    serving = [upstream for upstream in upstreams if not upstream.models or model in upstream.models]
    if not serving:
        known = sorted({name for upstream in upstreams for name in upstream.models})
        raise ModelNotFoundError(f"no upstream serves model {model!r}: write one of {', '.join(known)}", param="model")
    sums = list(itertools.accumulate(upstream.weight for upstream in serving))
    drawn = uniform() * sums[-1]
    return next((upstream for upstream, reached in zip(serving, sums, strict=True) if drawn < reached), serving[-1])


class UpstreamClient:
    """Holds the connections to all upstreams."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=_LIMIT, keepalive_timeout=30.0)
        # Cookies of one tenant's answers must not reach an upstream with another's request.
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    @asynccontextmanager
    async def request(
        self,
        upstream: Upstream,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        silence_s: float,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield its answer once the headers are there.

        Args:
            upstream: where to.
            path: of the URL, below the upstream's own.
            body: to POST; ``None`` is a GET.
            headers: of the reader's request, in any case; those that matter are forwarded.
            timeouts: of the policy.
            silence_s: longest wait for the next bytes.

        Raises:
            UpstreamError: the upstream is out of reach, or broke off.
            UpstreamTimeoutError: a timeout of the policy ran out.
        """
        if self._session is None:
            raise RuntimeError("the client is not open")
        limits = aiohttp.ClientTimeout(
            total=seconds(timeouts.total),
            connect=seconds(timeouts.connect),
            sock_read=silence_s,
        )
        # Events are cut out of the answer, so it must not come compressed.
        forwarded = {"Accept-Encoding": "identity"} | {name: headers[name] for name in _FORWARDED if name in headers}
        method = "GET" if body is None else "POST"
        url = URL(upstream.url.rstrip("/") + path)
        try:
            async with self._session.request(
                method, url, data=body, headers=forwarded, timeout=limits, allow_redirects=False
            ) as answer:
                yield answer
        except aiohttp.ConnectionTimeoutError as error:
            raise _unreachable(upstream, error) from error
        except TimeoutError as error:
            metrics.UPSTREAM_ERRORS.labels(upstream.name, UpstreamTimeoutError.code).inc()
            raise UpstreamTimeoutError(
                f"upstream {upstream.name!r} did not answer in time: is it overloaded? See spec.gateway.timeouts"
            ) from error
        except aiohttp.ClientError as error:
            raise _unreachable(upstream, error) from error


def _unreachable(upstream: Upstream, error: aiohttp.ClientError) -> UpstreamError:
    metrics.UPSTREAM_ERRORS.labels(upstream.name, UpstreamError.code).inc()
    return UpstreamError(
        f"upstream {upstream.name!r} at {upstream.url} is out of reach ({type(error).__name__}):"
        " check spec.gateway.upstreams[].url and that its pods are ready"
    )
