"""One delivery per hint service that wants this node's windows."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenflow_agent.delivery.sender import Delivery
from tokenflow_api.projected_tokens import read_token
from tokenflow_api.telemetry import BatchReply, IngestAddress, TelemetryBatch


class Deliveries:
    """Delivers every batch to every address in force.

    Args:
        token_file: projected token for the hint services.
        on_reply: called with each acknowledgement.
        tasks: owns the deliveries.
    """

    def __init__(self, *, token_file: Path, on_reply: Callable[[BatchReply], None], tasks: asyncio.TaskGroup) -> None:
        self._token_file = token_file
        self._on_reply = on_reply
        self._tasks = tasks
        self._running: dict[str, tuple[Delivery, asyncio.Task[None]]] = {}

    def follow(self, addresses: Sequence[IngestAddress]) -> None:
        """Deliver to these addresses from now on, and to no others."""
        wanted = {address.url: address.policy for address in addresses}
        for url in self._running.keys() - wanted.keys():
            _, task = self._running.pop(url)
            task.cancel()
        for url in wanted.keys() - self._running.keys():
            delivery = Delivery(
                policy=wanted[url],
                url=url,
                token=lambda: read_token(self._token_file),
                on_reply=self._on_reply,
            )
            self._running[url] = (delivery, self._tasks.create_task(delivery.run()))

    def add(self, batch: TelemetryBatch) -> None:
        """Have ``batch`` delivered."""
        for delivery, _ in self._running.values():
            delivery.add(batch)

    async def flush(self, *, timeout_s: float) -> None:
        """Deliver what waits, for at most ``timeout_s``, and end."""
        running = list(self._running.values())
        await asyncio.gather(*(delivery.flush(timeout_s=timeout_s) for delivery, _ in running))
        for _, task in running:
            task.cancel()
        self._running.clear()
