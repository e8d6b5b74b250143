"""The connections of HTTP/2 that are open, at most ``MAX_CONNECTIONS``."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tokenflow_agent.l7.http2 import Connection, Ended
from tokenflow_agent.l7.record import Kind, Record

MAX_CONNECTIONS: Final = 1024


@dataclass(slots=True)
class _Followed:
    connection: Connection
    pieces: int = 0


class Multiplexed:
    """Follows connections; the one that was silent longest is forgotten where there are too many."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, _Followed] = OrderedDict()

    def take(self, record: Record, *, headers: frozenset[str], lost: Counter[str]) -> Iterator[Ended]:
        """Yield the requests that end with a record.

        Args:
            record: of HTTP/2.
            headers: names that may be looked at, on connections that begin now.
            lost: what could not be counted, or not in full, by reason.
        """
        if record.kind == Kind.FRAMES:
            followed = self._follow(record.connection, headers, lost)
            followed.pieces += 1
            whole = record.complete and record.first_ns == followed.pieces
            yield from self._feed(followed, record, lost) if whole else _desync(followed, record, lost)
            return
        ended = self._open.pop(record.connection, None)
        if record.kind == Kind.LOST:
            lost["Desync"] += 1
        if ended:
            yield from ended.connection.close(at_ns=record.last_ns)

    def _follow(self, number: int, headers: frozenset[str], lost: Counter[str]) -> _Followed:
        followed = self._open.setdefault(number, _Followed(Connection(headers)))
        self._open.move_to_end(number)
        if len(self._open) > MAX_CONNECTIONS:
            _, oldest = self._open.popitem(last=False)
            lost["Evicted"] += sum(1 for _ in oldest.connection.close(at_ns=0))
        return followed

    def _feed(self, followed: _Followed, record: Record, lost: Counter[str]) -> Iterator[Ended]:
        connection = followed.connection
        readable = not connection.desynced
        from_server = bool(record.from_server)
        yield from connection.feed(record.request, from_server=from_server, at_ns=record.started_ns)
        lost["Desync"] += readable and connection.desynced
        lost["Evicted"] += connection.forgotten
        connection.forgotten = 0


def _desync(followed: _Followed, record: Record, lost: Counter[str]) -> Iterator[Ended]:
    lost["Desync"] += 1
    followed.pieces = record.first_ns
    followed.connection.desync()
    return iter(())
