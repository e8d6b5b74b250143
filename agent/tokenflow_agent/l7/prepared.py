"""Verbs of prepared statements, by connection; the ones that were used longest ago are forgotten first."""

from collections import OrderedDict
from typing import Final

MAX_CONNECTIONS: Final = 1024
MAX_STATEMENTS: Final = 256
"""Of one connection."""
_NAME_BYTES: Final = 64


class Named(OrderedDict[bytes, str]):
    """Verbs by name, at most ``MAX_STATEMENTS``."""

    def __setitem__(self, name: bytes, verb: str) -> None:
        super().__setitem__(name[:_NAME_BYTES], verb)
        if len(self) > MAX_STATEMENTS:
            self.popitem(last=False)


class Prepared:
    """What was prepared on each connection, at most ``MAX_CONNECTIONS``."""

    def __init__(self) -> None:
        self._connections: OrderedDict[int, Named] = OrderedDict()

    def on(self, connection: int) -> Named:
        """Return what was prepared on a connection."""
        named = self._connections.setdefault(connection, Named())
        self._connections.move_to_end(connection)
        if len(self._connections) > MAX_CONNECTIONS:
            self._connections.popitem(last=False)
        return named
