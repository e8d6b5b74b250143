"""What can be wrong with an API server, as its clients see it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from e2e.faults.asked import Asked


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Answer in the API server's place."""

    status: int
    body: bytes
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """Pass the request on after so many seconds."""

    seconds: float


class Break:
    """Break the connection instead of passing the request on."""


class Forget:
    """Pass the request on, and break the connection instead of passing the answer back."""


Action = Answer | Delay | Break | Forget


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something that is wrong.

    Attributes:
        hits: whether it befalls a request.
        action: what happens then.
        of: it befalls each one of so many requests that it could, the first among them.
    """

    hits: Callable[[Asked], bool]
    action: Action
    of: int = 1


def every(_: Asked) -> bool:
    """Hit every request."""
    return True


def writes(asked: Asked) -> bool:
    """Hit every write."""
    return asked.writes


def watches(asked: Asked) -> bool:
    """Hit every watch."""
    return asked.verb == "watch"


def _status(code: int, reason: str, message: str) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _answer(code: int, reason: str, message: str, *, retry_after_s: int | None = None) -> Answer:
    return Answer(status=code, body=json.dumps(_status(code, reason, message)).encode(), retry_after_s=retry_after_s)


THROTTLED: Final = Fault(
    hits=every,
    action=_answer(429, "TooManyRequests", "too many requests, please try again later", retry_after_s=1),
)
"""The API server asks everybody to come back later."""
THROTTLED_BY_HALF: Final = Fault(hits=every, action=THROTTLED.action, of=2)
"""It lets every second request through."""
READ_ONLY: Final = Fault(hits=writes, action=_answer(500, "InternalError", "etcdserver: mvcc: database space exceeded"))
"""etcd takes no writes."""
TIMED_OUT: Final = Fault(hits=writes, action=_answer(504, "Timeout", "etcdserver: request timed out"), of=3)
"""Every third write is refused by an etcd that is too slow."""
EXPIRED: Final = Fault(
    hits=watches,
    action=Answer(
        status=200,
        body=json.dumps(
            {"type": "ERROR", "object": _status(410, "Expired", "too old resource version: 1 (2)")}
        ).encode()
        + b"\n",
    ),
)
"""Every watch is told that the version which it would go on from is gone."""
SLOW: Final = Fault(hits=every, action=Delay(0.3))
BROKEN: Final = Fault(hits=every, action=Break(), of=3)
"""Every third connection breaks."""
FORGETFUL: Final = Fault(hits=writes, action=Forget(), of=2)
"""Every second write is carried out, and whoever asked never learns of it."""
