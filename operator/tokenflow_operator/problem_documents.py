"""Problem documents (RFC 9457): what a hint service answers where it cannot do what it was asked."""

import json


def words(body: bytes) -> str:
    """Return what a problem document says, or the start of whatever else was sent."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
