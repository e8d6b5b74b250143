"""The templates of the paths that are served, of which there are few."""

from typing import Final

from tokenflow_gateway.identity.kinds import Kind

KINDS: Final = frozenset(Kind)
MODELS: Final = "/v1/models"
MODEL: Final = f"{MODELS}/"
OTHER_ROUTE: Final = "~other"


def route_of(path: str) -> str:
    """Return the template of a path."""
    if path in KINDS or path == MODELS:
        return path
    return f"{MODEL}{{model}}" if path.startswith(MODEL) else OTHER_ROUTE
