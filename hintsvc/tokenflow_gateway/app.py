"""The HTTP API of the gateway: OpenAI's."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tokenflow_api.api_keys import KeyRing
from tokenflow_api.destinations import destination_class
from tokenflow_api.hints import Hint
from tokenflow_api.pacing_policy import Mode, Tenant, Upstream
from tokenflow_api.quantities import amount, seconds
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.windows import OTHER_CLASS, StreamWindows
from tokenflow_client import HintFollower
from tokenflow_gateway import metrics
from tokenflow_gateway.configuration import Configuration
from tokenflow_gateway.errors import (
    GatewayError,
    InvalidRequestError,
    NotReadyError,
    SlowRequestError,
    TooLargeError,
    UnknownRouteError,
    UpstreamError,
    UpstreamTimeoutError,
)
from tokenflow_gateway.pacer import UNPACED, Pace
from tokenflow_gateway.pacing import Sink, carry
from tokenflow_gateway.streams import Route, Stream, windows
from tokenflow_gateway.tenants import OpenStreams, identify
from tokenflow_gateway.upstreams import UpstreamClient, choose

_log = logging.getLogger(__name__)

BODY_S: Final = 30.0
"""Time that a reader has to send its request."""

UNSENT_BYTES: Final = 16 << 10
"""Data that the kernel may hold unsent per stream: the rest stays here, where it can still be merged."""

_TCP_NOTSENT_LOWAT: Final = 25

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(kw_only=True, slots=True)
class Proxy:
    """What the handlers work with."""

    configuration: Configuration
    follower: HintFollower
    upstreams: UpstreamClient
    keys: KeyRing
    pod_namespace: str
    pod_name: str
    port: int
    draining: asyncio.Event
    open_streams: OpenStreams = field(default_factory=OpenStreams)
    streams: dict[Stream, asyncio.Transport] = field(default_factory=dict)
    in_flight: int = 0

    def config(self) -> RuntimeConfig:
        """Return the config in force.

        Raises:
            NotReadyError: there is none yet.
        """
        if self.configuration.current is None:
            raise NotReadyError("the gateway has no config yet: look at its /readyz, and at the policy's conditions")
        return self.configuration.current

    def hint(self, route: Route) -> Hint | None:
        """Return the hint for a route; ``None`` when there never was one."""
        fallback = float(self.config().spec.pacing.fallback_tokens_per_second)
        return self.follower.hint(route.tenant, route.path, fallback=fallback)

    def pace(self, route: Route) -> Pace:
        """Return how a stream runs at present."""
        pacing = self.config().spec.pacing
        if self.config().spec.mode is not Mode.ENFORCE:
            return UNPACED
        hint = self.hint(route)
        if hint is None:
            return Pace(tokens_per_second=float(pacing.fallback_tokens_per_second), batch_size=1, batch_delay_s=0.0)
        return Pace(
            tokens_per_second=hint.tokens_per_second,
            batch_size=hint.batch_size,
            batch_delay_s=hint.batch_delay_ms / 1000,
        )

    def observe(self, start_unix_ms: int) -> StreamWindows:
        """Return the windows of all streams since the last call."""
        observed = []
        for stream, transport in self.streams.items():
            observation = stream.observe(buffered=transport.get_write_buffer_size())
            if observation:
                observed.append((stream.route, observation))
        config = self.configuration.current
        rates = {tenant.name: 0.0 for tenant in config.spec.tenants} if config else {}
        for route, observation in observed:
            rates[route.tenant] = rates.get(route.tenant, 0.0) + observation.tokens
        metrics.RATE.clear()
        for tenant, rate in rates.items():
            metrics.RATE.labels(tenant).set(rate)
        metrics.HINT_AGE.set(self.follower.age_s or 0.0)
        return windows(
            observed,
            start_unix_ms=start_unix_ms,
            pod_namespace=self.pod_namespace,
            pod_name=self.pod_name,
            service_port=self.port,
        )


PROXY: Final = web.AppKey("proxy", Proxy)


def application(proxy: Proxy) -> web.Application:
    """Return the application that serves ``proxy``."""
    app = web.Application(middlewares=[_answer_errors])
    app[PROXY] = proxy
    app.add_routes(
        [
            web.post("/v1/chat/completions", post_chat),
            web.get("/v1/models", get_models),
            web.get("/healthz", get_healthz),
            web.get("/readyz", get_readyz),
        ]
    )
    return app


def metrics_application() -> web.Application:
    """Return the application of the metrics port."""
    app = web.Application()
    app.add_routes([web.get("/metrics", get_metrics)])
    return app


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except GatewayError as error:
        metrics.REQUESTS.labels("~denied", error.status).inc()
        headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}
        return web.Response(status=error.status, text=error.body(), content_type="application/json", headers=headers)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
        metrics.REQUESTS.labels("~denied", error.status).inc()
        told = UnknownRouteError(f"{request.method} {request.path} is not served: see GET /v1/models for what is")
        return web.Response(status=error.status, text=told.body(), content_type="application/json")


async def post_chat(request: web.Request) -> web.StreamResponse:
    """Pass a chat completion on; a stream is paced."""
    proxy = request.app[PROXY]
    config = proxy.config()
    tenant = identify(request.headers, config, keys=proxy.keys)
    body = await _body(request, most=int(amount(config.spec.gateway.max_request_size)))
    document = _document(body)
    upstream = choose(config.spec.gateway.upstreams, document["model"])
    proxy.in_flight += 1
    try:
        response = await _complete(request, proxy, tenant, upstream, body=body, streamed=document.get("stream") is True)
    finally:
        proxy.in_flight -= 1
    metrics.REQUESTS.labels(tenant.name, response.status).inc()
    return response


async def _complete(
    request: web.Request, proxy: Proxy, tenant: Tenant, upstream: Upstream, *, body: bytes, streamed: bool
) -> web.StreamResponse:
    if not streamed:
        return await _pass_through(request, proxy, upstream, body=body)
    with proxy.open_streams.one_more(tenant):
        return await _stream(request, proxy, tenant, upstream, body=body)


async def _body(request: web.Request, *, most: int) -> bytes:
    body = bytearray()
    size = request.content_length or 0
    try:
        async with asyncio.timeout(BODY_S):
            while size <= most and (part := await request.content.readany()):
                body += part
                size = len(body)
    except TimeoutError as error:
        raise SlowRequestError(f"the body did not arrive within {BODY_S:.0f} s: send it again") from error
    if size > most:
        raise TooLargeError(f"the body may have at most {most} bytes (spec.gateway.maxRequestSize)")
    return bytes(body)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("the body is not JSON: send an object with model and messages") from error
    if not isinstance(document, dict) or not isinstance(document.get("model"), str):
        raise InvalidRequestError("model is missing: name the model to use", param="model")
    return document


async def _pass_through(request: web.Request, proxy: Proxy, upstream: Upstream, *, body: bytes | None) -> web.Response:
    timeouts = proxy.config().spec.gateway.timeouts
    async with proxy.upstreams.request(
        upstream,
        request.path,
        body=body,
        headers=request.headers,
        timeouts=timeouts,
        # An answer in one piece comes after its last token.
        silence_s=seconds(timeouts.total),
    ) as answer:
        return web.Response(status=answer.status, body=await answer.read(), headers=_content_headers(answer))


def _content_headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    kept = ("Content-Type", "Content-Encoding", "Retry-After", "x-request-id")
    return {name: answer.headers[name] for name in kept if name in answer.headers}


async def _stream(
    request: web.Request, proxy: Proxy, tenant: Tenant, upstream: Upstream, *, body: bytes
) -> web.StreamResponse:
    timeouts = proxy.config().spec.gateway.timeouts
    started = time.monotonic()
    async with proxy.upstreams.request(
        upstream,
        request.path,
        body=body,
        headers=request.headers,
        timeouts=timeouts,
        silence_s=max(seconds(timeouts.first_token), seconds(timeouts.between_tokens)),
    ) as answer:
        if answer.content_type != "text/event-stream":
            return web.Response(status=answer.status, body=await answer.read(), headers=_content_headers(answer))
        route = Route(tenant.name, upstream.name, _destination(request))
        response = web.StreamResponse(
            status=answer.status, headers=_stream_headers(proxy.pace(route), proxy.hint(route))
        )
        await response.prepare(request)
        stream, transport = _open(request, proxy, route)
        metrics.STREAMS.labels(tenant.name).inc()
        try:
            await carry(
                answer.content.readany,
                Sink(
                    write=lambda data: _write(request, response, data),
                    sent=_Progress(stream, started=started),
                    pace=lambda: proxy.pace(route),
                ),
                first_token_s=seconds(timeouts.first_token),
                between_tokens_s=seconds(timeouts.between_tokens),
            )
        except (ConnectionResetError, asyncio.CancelledError):
            metrics.CANCELLED.labels(tenant.name).inc()
            raise
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            await _write(request, response, _last_words(upstream, error))
        finally:
            proxy.streams.pop(stream, None)
            metrics.STREAMS.labels(tenant.name).dec()
            transport.set_write_buffer_limits()
        return response


def _destination(request: web.Request) -> str:
    try:
        return destination_class(request.remote or "")
    except ValueError:
        # A UNIX socket has no address.
        return OTHER_CLASS


def _stream_headers(pace: Pace, hint: Hint | None) -> Mapping[str, str]:
    rate = "unpaced" if pace.tokens_per_second is None else f"{pace.tokens_per_second:.1f}"
    return {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
        "x-tokenflow-rate": rate,
        "x-tokenflow-batch": str(pace.batch_size),
        "x-tokenflow-state": hint.state if hint else "Unknown",
    }


def _open(request: web.Request, proxy: Proxy, route: Route) -> tuple[Stream, asyncio.Transport]:
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        raise ConnectionResetError("the reader left")
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    # Writing then waits until the kernel has taken all: what it has not taken can still be merged.
    transport.set_write_buffer_limits(high=0)
    stream = Stream(route, sock)
    stream.start()
    proxy.streams[stream] = transport
    return stream, transport


class _Progress:
    """Told how many tokens went out; keeps the figures of the stream."""

    def __init__(self, stream: Stream, *, started: float) -> None:
        self._stream = stream
        self._started = started
        self._last: float | None = None
        self._tokens = metrics.TOKENS.labels(stream.route.tenant)

    def __call__(self, tokens: int) -> None:
        now = time.monotonic()
        if tokens and self._last is None:
            metrics.FIRST_TOKEN.observe(now - self._started)
        elif tokens and self._last is not None:
            metrics.GAP.observe(now - self._last)
        self._last = now if tokens else self._last
        self._stream.tokens += tokens
        self._tokens.inc(tokens)


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Write, and wait until the kernel has taken it.

    Raises:
        ConnectionResetError: the reader left; never aiohttp's own kind, which upstreams raise as well.
    """
    try:
        await response.write(data)
        # aiohttp itself waits once in 64 KiB only, which is a minute of a slow stream.
        await request.writer.drain()
    except ConnectionResetError as error:
        raise ConnectionResetError("the reader left") from error


def _last_words(upstream: Upstream, error: Exception) -> bytes:
    """Return the last event of a stream that broke off: what went wrong."""
    metrics.UPSTREAM_ERRORS.labels(upstream.name, "broken_stream").inc()
    _log.warning("a stream broke off", extra={"upstream": upstream.name, "reason": type(error).__name__})
    kind = UpstreamTimeoutError if isinstance(error, TimeoutError) else UpstreamError
    told = kind(f"upstream {upstream.name!r} broke off in mid-stream ({type(error).__name__}): send the request again")
    return b"data: " + told.body().encode() + b"\n\n"


async def get_models(request: web.Request) -> web.Response:
    """Answer with the models of all upstreams, by what the policy says."""
    proxy = request.app[PROXY]
    config = proxy.config()
    identify(request.headers, config, keys=proxy.keys)
    named = {model: upstream.name for upstream in config.spec.gateway.upstreams for model in upstream.models}
    if named:
        models = [{"id": model, "object": "model", "created": 0, "owned_by": owner} for model, owner in named.items()]
        return web.json_response({"object": "list", "data": models})
    return await _pass_through(request, proxy, config.spec.gateway.upstreams[0], body=None)


async def get_healthz(_: web.Request) -> web.Response:
    """Answer that the event loop turns."""
    return web.json_response({"status": "ok"})


async def get_readyz(request: web.Request) -> web.Response:
    """Answer whether this gateway serves; without hints it does, by the fallback rate."""
    proxy = request.app[PROXY]
    config = proxy.configuration.current
    ready = config is not None and not proxy.draining.is_set()
    details = {
        "ready": ready,
        "draining": proxy.draining.is_set(),
        "config": {
            "generation": config.generation if config else None,
            "source": proxy.configuration.source,
            "error": proxy.configuration.error,
        },
        "hints": {"connected": proxy.follower.connected, "ageSeconds": proxy.follower.age_s},
        "streams": len(proxy.streams),
    }
    return web.json_response(details, status=200 if ready else 503)


async def get_metrics(_: web.Request) -> web.Response:
    """Answer in Prometheus' text form."""
    return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
