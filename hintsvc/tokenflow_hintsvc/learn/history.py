"""Reads round-trip times from the telemetry that a policy keeps in Redis."""

from collections import defaultdict

from tokenflow_api.errors import CodecError
from tokenflow_hintsvc.decide.digest import digest
from tokenflow_hintsvc.learn.errors import DataError
from tokenflow_hintsvc.learn.series import Series, series
from tokenflow_hintsvc.store.history import History


async def read(history: History) -> list[Series]:
    """Return one series per socket and destination class that agents saw, in the order of their names.

    Raises:
        DataError: a batch is of another release.
        StoreError: Redis does not answer.
    """
    windows: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    async for batch in history.since(0):
        try:
            said = digest(batch.read())
        except CodecError as error:
            raise DataError(f"a batch that the policy keeps cannot be read: {error}: train a day later") from error
        for socket, row in said.kernel.items():
            port = socket.port
            name = "/".join((port.namespace, port.pod, str(port.port), socket.destination_class))
            windows[name].append((row.at_ms, row.rtt_sum_us / row.samples if row.samples else 0.0))
    return [series(name, windows[name]) for name in sorted(windows)]
