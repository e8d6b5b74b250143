"""The models that a policy's replicas share, and which of them is promoted."""

from typing import Final, cast

from tokenflow_hintsvc.learn.card import ModelCard
from tokenflow_hintsvc.learn.errors import RegistryError
from tokenflow_hintsvc.learn.model import CARD, Bundle, Model, read_card
from tokenflow_hintsvc.store.connection import Connection, mapped

MAX_VERSIONS: Final = 16
MAX_BYTES: Final = 8 << 20
"""Of one version, all files together."""
_MAX_PROMOTIONS: Final = 32

_PUSH: Final = """
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1])
for at = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
"""

_PROMOTE: Final = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if redis.call('LINDEX', KEYS[2], 0) ~= ARGV[1] then
  redis.call('LPUSH', KEYS[2], ARGV[1])
  redis.call('LTRIM', KEYS[2], 0, ARGV[2] - 1)
end
return 1
"""

_ROLL_BACK: Final = """
for at, version in ipairs(redis.call('LRANGE', KEYS[2], 1, -1)) do
  if redis.call('HEXISTS', KEYS[1], version) == 1 then
    redis.call('LTRIM', KEYS[2], at, -1)
    return version
  end
end
return ''
"""

_REMOVE: Final = """
if redis.call('LINDEX', KEYS[3], 0) == ARGV[1] then return -1 end
redis.call('DEL', KEYS[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
"""


class Models:
    """The registry of one policy: at most ``MAX_VERSIONS`` models, and the history of promotions.

    All methods raise ``StoreError`` when Redis does not answer.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._push = connection.script(_PUSH)
        self._promote = connection.script(_PROMOTE)
        self._roll_back = connection.script(_ROLL_BACK)
        self._remove = connection.script(_REMOVE)

    async def push(self, bundle: Bundle) -> ModelCard:
        """Take in a model, or replace the one of its version.

        Raises:
            ModelFormatError: the files are no sound model.
            RegistryError: it is too large, or there is no room.
        """
        card = Model.read(bundle).card
        size = sum(len(data) for data in bundle.values())
        if size > MAX_BYTES:
            raise RegistryError(f"model {card.version} has {size} bytes, more than {MAX_BYTES}: train a smaller one")
        files = [part for name, data in bundle.items() for part in (name, data)]
        async with mapped():
            args = [card.version, MAX_VERSIONS, bundle[CARD], *files]
            taken = await self._push(keys=[self._files(card.version), self._cards], args=args)
        if not taken:
            raise RegistryError(
                f"there are {MAX_VERSIONS} models already: remove one with 'tokenflow-hintsvc models remove VERSION'"
            )
        return card

    async def get(self, version: str) -> Bundle:
        """Return a model's files, empty where there is no such version."""
        async with mapped():
            found = await self._connection.redis.hgetall(self._files(version))
        return {name.decode(): data for name, data in cast("dict[bytes, bytes]", found).items()}

    async def cards(self) -> list[ModelCard]:
        """Return the metadata of all models, oldest first.

        Raises:
            ModelFormatError: one is not readable.
        """
        async with mapped():
            found = await self._connection.redis.hvals(self._cards)
        cards = [read_card({CARD: data}) for data in cast("list[bytes]", found)]
        return sorted(cards, key=lambda card: (card.created_unix_ms, card.version))

    async def promoted(self) -> str:
        """Return the promoted version, empty where there is none."""
        async with mapped():
            found = await self._connection.redis.lindex(self._promotions, 0)
        return cast("bytes", found).decode() if found else ""

    async def empty(self) -> bool:
        """Whether there is no model at all, as in a Redis that lost all it knew."""
        async with mapped():
            return not await self._connection.redis.hlen(self._cards)

    async def promote(self, version: str) -> None:
        """Make a version the one that policies without a version follow.

        Raises:
            RegistryError: there is no such version.
        """
        async with mapped():
            known = await self._promote(keys=[self._cards, self._promotions], args=[version, _MAX_PROMOTIONS])
        if not known:
            raise RegistryError(f"there is no model {version}: push it with 'tokenflow-hintsvc models push DIR'")

    async def roll_back(self) -> str:
        """Promote again the version that was promoted before; return it.

        Raises:
            RegistryError: there was none, or it was removed.
        """
        async with mapped():
            before = await self._roll_back(keys=[self._cards, self._promotions], args=[])
        if not before:
            raise RegistryError(
                "no model was promoted before: name one with 'tokenflow-hintsvc models promote VERSION'"
            )
        return cast("bytes", before).decode()

    async def remove(self, version: str) -> None:
        """Forget a version.

        Raises:
            RegistryError: there is none, or it is promoted.
        """
        async with mapped():
            gone = await self._remove(keys=[self._files(version), self._cards, self._promotions], args=[version])
        if gone < 0:
            raise RegistryError(f"model {version} is promoted: promote another, or roll back, before you remove it")
        if not gone:
            raise RegistryError(f"there is no model {version}: see 'tokenflow-hintsvc models list'")

    def _files(self, version: str) -> str:
        return self._connection.key("model", version)

    @property
    def _cards(self) -> str:
        return self._connection.key("models")

    @property
    def _promotions(self) -> str:
        return self._connection.key("promotions")
