"""Reads the first bytes of PostgreSQL's messages (protocol 3.0, simple and extended query).

An exchange begins with a query, or with the first message of an extended one, and ends when the server is ready
again; the statements of one exchange share its latency. Errors are seen where the server's first answers hold
them: one in the middle of a result is not.
"""

from collections.abc import Iterator, MutableMapping
from typing import Final, NamedTuple

from tokenflow_agent.l7.verbs import OTHER_VERB, verb

_HEAD: Final = 5
"""Bytes of a message's type and length."""
_MOST_MESSAGES: Final = 64
_END: Final = b"\0"


class Statements(NamedTuple):
    """The statements of one exchange.

    Attributes:
        verbs: of each.
        failed: the server refused one of them.
    """

    verbs: list[str]
    failed: bool


def statements(request: bytes, response: bytes, prepared: MutableMapping[bytes, str]) -> Statements:
    """Return the statements that were carried out; none where they were only prepared.

    Args:
        request: first bytes of what the client sent.
        response: first bytes of the answer.
        prepared: verbs by name of what was prepared on this connection; what is prepared now is added.
    """
    verbs: list[str] = []
    bound = OTHER_VERB
    for kind, body in _messages(request):
        if kind == b"Q":
            verbs.append(verb(body))
        elif kind == b"P":
            name, _, text = body.partition(_END)
            prepared[name] = verb(text)
        elif kind == b"B":
            _, _, rest = body.partition(_END)
            bound = prepared.get(rest.partition(_END)[0], OTHER_VERB)
        elif kind == b"E":
            verbs.append(bound)
    return Statements(verbs, any(kind == b"E" for kind, _ in _messages(response)))


def _messages(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and body of each message; the last body may be cut off."""
    at = 0
    for _ in range(_MOST_MESSAGES):
        if at + _HEAD > len(data):
            return
        length = int.from_bytes(data[at + 1 : at + _HEAD])
        yield data[at : at + 1], data[at + _HEAD : at + 1 + length]
        at += 1 + max(length, _HEAD - 1)
