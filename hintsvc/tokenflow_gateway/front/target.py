"""Targets of requests."""

from tokenflow_gateway.errors import MalformedRequestError


def split(target: str) -> tuple[str, str]:
    """Return path and query of a target in origin, absolute or asterisk form (RFC 9112, section 3.2).

    Raises:
        MalformedRequestError: it is none of those.
    """
    if not target.startswith("/") and target != "*":
        scheme, found, rest = target.partition("://")
        if not found or scheme.lower() not in ("http", "https"):
            raise MalformedRequestError("the target is no path and no URL")
        slash = rest.find("/")
        target = rest[slash:] if slash >= 0 else "/"
    path, _, query = target.partition("#")[0].partition("?")
    return path, query
