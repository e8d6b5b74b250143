"""What a request to a Kubernetes API server is about."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request.

    Attributes:
        verb: Kubernetes' word for it: ``get`` (of one object), ``list``, ``watch``, ``create``, ``patch``, …
        resource: plural and subresource, such as ``pacingpolicies/status``; empty for what is no resource.
    """

    verb: str
    resource: str

    @property
    def writes(self) -> bool:
        """Whether it is to change something."""
        return self.verb not in ("get", "list", "watch")


def asked(request: web.Request) -> Asked:
    """Tell what a request is about, by its URL alone."""
    _, _, path = request.path.partition("/namespaces/")
    # With a namespace the resource follows its name; without one it follows the group and the version.
    parts = path.split("/")[1:] if path else request.path.strip("/").split("/")[_prefix(request.path) :]
    verb = _VERBS.get(request.method)
    if verb is None:
        one = len(parts) > 1
        verb = "watch" if request.query.get("watch") in ("1", "true") else "get" if one else "list"
    return Asked(verb=verb, resource="/".join([*parts[:1], *parts[2:3]]))


def _prefix(path: str) -> int:
    """Return the number of the path's parts before the resource: ``api/v1`` or ``apis/GROUP/v1``."""
    return 2 if path.startswith("/api/") else 3
