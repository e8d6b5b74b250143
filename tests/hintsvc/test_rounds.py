"""The leader's rounds, with a real Redis and a clock of their own."""

from collections.abc import Sequence

import pytest

from tests.hintsvc.decide.support import KEY, gateway_batch
from tests.hintsvc.support import runtime
from tokenflow_api.codec import encode
from tokenflow_api.hints import ModelReport, PathState, Snapshot
from tokenflow_api.modes import ModelMode
from tokenflow_hintsvc.configuration import Configuration, Origin
from tokenflow_hintsvc.decide.decision import Foresight
from tokenflow_hintsvc.decide.samples import PathSample
from tokenflow_hintsvc.errors import TermOverError
from tokenflow_hintsvc.rounds import Rounds
from tokenflow_hintsvc.store.batches import StoredBatch
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.controls import Controls
from tokenflow_hintsvc.store.explanations import Explanations
from tokenflow_hintsvc.store.leadership import Leadership
from tokenflow_hintsvc.store.snapshots import Snapshots
from tokenflow_hintsvc.store.telemetry import Delivery, Telemetry
from tokenflow_hintsvc.view.packed import unpack

pytestmark = pytest.mark.redis


class Replica:
    """What a replica needs to lead."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.now_ms = 0
        self.connection = connection
        self.leadership = Leadership(connection, holder=name)
        self.telemetry = Telemetry(connection)
        self.seen: list[Sequence[PathSample]] = []
        configuration = Configuration()
        config = runtime(tenants=[{"name": "gold", "tokensPerMinute": 10**9}])
        configuration.offer(config.model_dump_json().encode(), origin=Origin.WATCH)
        self.rounds = Rounds(
            telemetry=self.telemetry,
            snapshots=Snapshots(connection, self.leadership),
            controls=Controls(connection, self.leadership),
            explanations=Explanations(connection, self.leadership),
            configuration=configuration,
            foresee=self._foresee,
            now_unix_ms=lambda: self.now_ms,
        )

    async def lead(self) -> int:
        term = await self.leadership.acquire(above=0)
        assert term is not None
        await self.rounds.begin(term)
        return term

    async def second(self, second: int, *, srtt_us: int = 400, data: bytes = b"") -> Snapshot:
        """Hear what a gateway saw in that second, and do one round."""
        batch = data or encode(gateway_batch(second=second, srtt_us=srtt_us, tokens=20))
        stored = StoredBatch(at_unix_ms=second * 1000 + 1000, bounded=True, data=batch)
        await self.telemetry.ingest(
            [Delivery(reporter="gw", boot_id="b", sequence=second, batch=stored, current_ms=60_000)]
        )
        self.now_ms = second * 1000 + 1000
        await self.rounds.round()
        published = await self.connection.redis.get(self.connection.key("snapshot"))
        return unpack(published).snapshot()

    def _foresee(self, samples: Sequence[PathSample]) -> Foresight:
        self.seen.append(samples)
        return Foresight(forecasts={}, report=ModelReport(mode=ModelMode.SHADOW, version="v1"))


async def test_the_next_leader_does_not_start_a_congested_path_as_clear(connection: Connection) -> None:
    one, two = Replica(connection, "one"), Replica(connection, "two")
    term = await one.lead()
    for second in range(1, 4):
        await one.second(second)
    for second in range(4, 14):
        shown = await one.second(second, srtt_us=3_000_000)
    before = next(hint for hint in shown.hints if hint.path == KEY.path)
    assert before.state is PathState.CONGESTED
    await one.leadership.release(term)
    await two.lead()
    after = next(hint for hint in (await two.second(14, srtt_us=3_000_000)).hints if hint.path == KEY.path)
    assert after.state is PathState.CONGESTED
    assert after.tokens_per_second <= 1.1 * before.tokens_per_second


async def test_an_old_leader_publishes_nothing(connection: Connection) -> None:
    one, two = Replica(connection, "one"), Replica(connection, "two")
    term = await one.lead()
    await one.second(1)
    await one.leadership.release(term)
    newer = await two.lead()
    await two.second(2)
    with pytest.raises(TermOverError):
        await one.second(3)
    published = await connection.redis.get(connection.key("snapshot"))
    assert unpack(published).term == newer


async def test_a_batch_that_cannot_be_read_takes_only_itself_away(connection: Connection) -> None:
    one = Replica(connection, "one")
    await one.lead()
    await one.second(1)
    shown = await one.second(2, data=b"of another release")
    assert [hint.path for hint in shown.hints] == ["*"]


async def test_the_learned_part_sees_all_samples_and_is_reported(connection: Connection) -> None:
    one = Replica(connection, "one")
    await one.lead()
    shown = await one.second(1)
    assert [sample.key for sample in one.seen[0]] == [KEY]
    assert shown.model == ModelReport(mode=ModelMode.SHADOW, version="v1")
