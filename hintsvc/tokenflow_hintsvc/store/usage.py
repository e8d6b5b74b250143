"""Usage by tenant and hour, kept for five weeks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

import msgpack

from tokenflow_hintsvc.store.connection import Connection, mapped

KEPT_DAYS: Final = 35
_HOURS: Final = 24
_DAY_MS: Final = 86_400_000

_ADD: Final = """
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
for index, amounts in ipairs(cmsgpack.unpack(ARGV[2])) do
  for _, pair in ipairs(amounts) do
    redis.call('HINCRBY', KEYS[index + 1], pair[1], string.format('%.0f', pair[2]))
  end
  redis.call('PEXPIRE', KEYS[index + 1], ARGV[4])
end
return 1
"""


class Field(NamedTuple):
    """What is counted: requests, input_tokens, output_tokens, duration_ms, and in a currency input_micros and so on."""

    name: str
    currency: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HourUsage:
    """What one tenant used in one hour; ``hour`` counts from the Unix epoch."""

    tenant: str
    hour: int
    amounts: Mapping[Field, int]


class Usage:
    """The usage of all tenants, as one start of a replica adds to it.

    Args:
        connection: to Redis.
        boot: this start of the replica, in hexadecimal.
    """

    def __init__(self, connection: Connection, *, boot: str) -> None:
        self._connection = connection
        self._boot = boot
        self._add = connection.script(_ADD)

    async def add(self, hours: Sequence[HourUsage], *, sequence: int) -> None:
        """Add to what is kept; the same ``sequence`` again adds nothing.

        Raises:
            StoreError: Redis does not answer; it may have added all of it or nothing.
        """
        keys = [self._connection.key("usage-added", self._boot)]
        keys += [self._day_key(hour.tenant, hour.hour // _HOURS) for hour in hours]
        amounts = [
            [[_field_name(hour.hour % _HOURS, field), amount] for field, amount in hour.amounts.items()]
            for hour in hours
        ]
        args = [sequence, msgpack.packb(amounts), _DAY_MS, (KEPT_DAYS + 1) * _DAY_MS]
        async with mapped():
            await self._add(keys=keys, args=args)

    async def read(self, tenant: str, *, from_hour: int, to_hour: int) -> dict[Field, int]:
        """Return what a tenant used from one hour until before another, at most ``KEPT_DAYS`` later.

        Raises:
            StoreError: Redis does not answer.
        """
        days = range(from_hour // _HOURS, (to_hour - 1) // _HOURS + 1)
        async with mapped():
            pipeline = self._connection.redis.pipeline(transaction=False)
            for day in days:
                pipeline.hgetall(self._day_key(tenant, day))
            hashes = cast("list[dict[bytes, bytes]]", await pipeline.execute())
        used: dict[Field, int] = {}
        for day, counts in zip(days, hashes, strict=True):
            for name, amount in counts.items():
                hour, field = _field(name)
                if from_hour <= day * _HOURS + hour < to_hour:
                    used[field] = used.get(field, 0) + int(amount)
        return used

    def _day_key(self, tenant: str, day: int) -> str:
        return self._connection.key("usage", tenant, str(day))


def _field_name(hour: int, field: Field) -> str:
    return f"{hour}:{field.name}:{field.currency}"


def _field(name: bytes) -> tuple[int, Field]:
    hour, what, currency = name.decode().split(":")
    return int(hour), Field(what, currency)
