"""What a policy keeps of its telemetry can be learned from."""

import numpy as np
import pytest

from tests.hintsvc.support import RedisServer
from tokenflow_api.codec import encode
from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_api.windows import Direction, TcpWindows
from tokenflow_hintsvc.learn import history
from tokenflow_hintsvc.learn.errors import DataError
from tokenflow_hintsvc.store.batches import StoredBatch
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.history import History
from tokenflow_hintsvc.store.telemetry import Delivery, Telemetry

pytestmark = pytest.mark.redis


def window(sequence: int, *, samples: int, rtt_sum_us: int) -> bytes:
    row: dict[str, object] = {name: [0] for name in TcpWindows.model_fields}
    texts = {"pod_namespace": ["llm"], "pod_name": ["gw-0"], "pod_uid": [""], "destination_class": ["10.0.0.0/24"]}
    row |= texts | {"direction": [Direction.SERVED], "service_port": [8000], "start_unix_ms": [sequence * 1000]}
    row |= {"samples": [samples], "rtt_sum_us": [rtt_sum_us]}
    return encode(
        TelemetryBatch(
            reporter=Reporter.AGENT,
            agent="default/nodes",
            node="n1",
            boot_id="b",
            sequence=sequence,
            sent_at_unix_ms=sequence * 1000 + 1000,
            window_ms=1000,
            tcp=TcpWindows.model_validate(row),
        )
    )


def delivery(sequence: int, data: bytes) -> Delivery:
    batch = StoredBatch(at_unix_ms=sequence * 1000 + 1000, bounded=True, data=data)
    return Delivery(reporter="n1", boot_id="b", sequence=sequence, batch=batch, current_ms=60_000)


async def test_each_socket_and_class_is_a_path(redis_server: RedisServer) -> None:
    connection = Connection(redis_server.url, policy_uid="p")
    seen = {1: (2, 100), 2: (0, 0), 3: (4, 800)}
    await Telemetry(connection).ingest(
        [delivery(at, window(at, samples=samples, rtt_sum_us=total)) for at, (samples, total) in seen.items()]
    )
    (path,) = await history.read(History(connection))
    await connection.close()
    assert path.name == "llm/gw-0/8000/10.0.0.0/24"
    assert np.array_equal(path.rtt_us, [50, np.nan, 200], equal_nan=True)


async def test_a_batch_of_another_release_is_named(redis_server: RedisServer) -> None:
    connection = Connection(redis_server.url, policy_uid="p")
    await Telemetry(connection).ingest([delivery(1, b"other")])
    with pytest.raises(DataError, match="a batch that the policy keeps cannot be read"):
        await history.read(History(connection))
    await connection.close()
