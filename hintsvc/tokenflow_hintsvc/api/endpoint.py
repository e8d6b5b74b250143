"""An endpoint: its route, and what the OpenAPI document says of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from tokenflow_api._base import WireModel

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A parameter of a query string, or a header.

    Attributes:
        name: as it is written.
        description: what it means.
        required: whether it must be there.
        schema: its JSON schema.
    """

    name: str
    description: str
    schema: dict[str, object]
    required: bool = False


IF_NONE_MATCH: Final = Parameter(
    name="If-None-Match", description="entity tag of the answer that the caller has", schema={"type": "string"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One method of one path.

    Attributes:
        method: HTTP method.
        path: template, such as ``/v1/hints/{tenant}``.
        handler: what answers.
        summary: one line for people.
        reply: model of the answer; ``None`` where it is no JSON document.
        media_type: of the answer.
        body: model of the request's body; ``None`` where it has none.
        body_media_type: of the request's body.
        query: parameters of the query string.
        headers: that it heeds.
        problems: statuses of the problems that it may answer with, besides those of the guard.
        revalidated: whether it tells by 304 that the caller has the answer already.
        anonymous: whether callers without a credential may ask, too.
        certified: whether callers must show a client certificate, where the replica knows an authority of them.
        public: whether the guard does not even stand before it.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    reply: type[WireModel] | None = None
    media_type: str = "application/json"
    body: type[WireModel] | None = None
    body_media_type: str = "application/json"
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()
    revalidated: bool = False
    anonymous: bool = False
    certified: bool = False
    public: bool = False

    def route(self) -> web.RouteDef:
        """Return the route for aiohttp."""
        # HEAD is answered as GET is, and OpenAPI documents the latter alone.
        return web.route(self.method, self.path, self.handler)
