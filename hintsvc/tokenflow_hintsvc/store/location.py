"""Where the Redis is that takes writes: it moves when Sentinels or a Cluster fail over."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol, cast

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from tokenflow_hintsvc.store.address import Login, Node

_ASK_S: Final = 0.5
"""A node that hangs must not use up the time in which the next one could tell."""
_MAX_KNOWN: Final = 64

_Question = Callable[[Redis, Node], Awaitable[Node | None]]


class Location(Protocol):
    """Knows where the Redis is now."""

    async def find(self) -> Node:
        """Return it.

        Raises:
            RedisError: nobody who was asked knows.
        """


class Fixed:
    """One Redis that stays where it is."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def find(self) -> Node:
        """Return it."""
        return self._node


class Inquiry:
    """Asks one node after the other, the last that knew first."""

    def __init__(self, nodes: tuple[Node, ...], *, login: Login, options: dict[str, Any]) -> None:
        self._nodes = list(nodes)
        self._options = options | {
            "username": login.username or None,
            "password": login.password or None,
            "socket_timeout": _ASK_S,
            "socket_connect_timeout": _ASK_S,
            "retry": None,
            "single_connection_client": True,
        }

    def learn(self, nodes: Iterable[Node]) -> None:
        """Ask these too from now on: those that were named at first may go."""
        self._nodes.extend(node for node in nodes if node not in self._nodes)
        del self._nodes[_MAX_KNOWN:]

    async def ask(self, question: _Question) -> Node:
        """Return the first answer.

        Raises:
            RedisError: there is none.
        """
        reasons = []
        for node in tuple(self._nodes):
            try:
                async with Redis(host=node.host, port=node.port, **self._options) as client:
                    answer = await question(client, node)
            except (RedisError, OSError, TimeoutError) as error:
                reasons.append(f"{node.host}:{node.port}: {error}")
                continue
            if answer is not None:
                self._nodes.remove(node)
                self._nodes.insert(0, node)
                return answer
            reasons.append(f"{node.host}:{node.port} does not know it")
        raise RedisConnectionError(f"nobody tells where the master is: {'; '.join(reasons)}")


class Guarded:
    """The master that Sentinels guard.

    Source: Redis' guidelines for Sentinel clients.
    """

    def __init__(self, inquiry: Inquiry, *, master: str) -> None:
        self._inquiry = inquiry
        self._master = master

    async def find(self) -> Node:
        """Return the master, as the first Sentinel that answers knows it."""
        return await self._inquiry.ask(self._question)

    async def _question(self, sentinel: Redis, _: Node) -> Node | None:
        answer = await _command(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME", self._master)
        return Node(_text(answer[0]), int(answer[1])) if answer else None


class Sharded:
    """The master of one slot of a Cluster: all keys of a policy are in one."""

    def __init__(self, inquiry: Inquiry, *, key: str) -> None:
        self._inquiry = inquiry
        self._slot = key_slot(key.encode())

    async def find(self) -> Node:
        """Return the slot's master, as the first node that answers knows it."""
        return await self._inquiry.ask(self._question)

    async def _question(self, member: Redis, asked: Node) -> Node | None:
        slots = await _command(member, "CLUSTER SLOTS")
        # A node that knows no name of its own leaves it empty.
        masters = {(first, last): Node(_text(host) or asked.host, port) for first, last, (host, port, *_), *_ in slots}
        self._inquiry.learn(masters.values())
        return next((master for (first, last), master in masters.items() if first <= self._slot <= last), None)


async def _command(client: Redis, *words: str) -> Any:
    execute = cast("Callable[..., Awaitable[Any]]", client.execute_command)
    return await execute(*words)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
