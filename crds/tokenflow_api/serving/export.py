"""Exports over OTLP while the policy names an endpoint: beside the service, never in its way."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric

from tokenflow_api.runtime import RuntimeConfig
from tokenflow_api.serving.figures import Figures
from tokenflow_api.serving.spans import Spans

if TYPE_CHECKING:
    from tokenflow_api.serving.otlp import OtlpClient

_log = logging.getLogger(__name__)

PERIOD_S: Final = 5.0


class Exporter:
    """Follows the config's endpoint.

    What a collector does not take is lost and counted: figures are sums, and the next ones say more.

    Args:
        spans: that wait for their export.
        collect: returns the present figures.
        figures: count the exports themselves.
        service: name of the program.
        name: of this replica of it.
        period_s: time between two exports.
    """

    def __init__(
        self,
        spans: Spans,
        *,
        collect: Callable[[], Iterable[Metric]],
        figures: Figures,
        service: str,
        name: str,
        period_s: float = PERIOD_S,
    ) -> None:
        self._spans = spans
        self._collect_figures = collect
        self._figures = figures
        self._service = service
        self._name = name
        self._period_s = period_s
        self._wanted: tuple[str, Mapping[str, str]] | None = None
        self._changed = asyncio.Event()
        self._failing: set[str] = set()

    def follow(self, config: RuntimeConfig) -> None:
        """Export where ``config`` says from now on."""
        endpoint = config.spec.observability.otlp_endpoint
        resource = {
            "service.name": self._service,
            "service.namespace": config.namespace,
            "service.instance.id": self._name,
            "tokenflow.policy": config.name,
        }
        wanted = (endpoint, resource) if endpoint else None
        if wanted != self._wanted:
            self._wanted = wanted
            self._spans.wanted = wanted is not None
            self._changed.set()

    async def run(self) -> None:
        """Export for ever."""
        while True:
            self._changed.clear()
            if self._wanted is None:
                await self._changed.wait()
            else:
                await self._export_to(*self._wanted)

    async def _export_to(self, endpoint: str, resource: Mapping[str, str]) -> None:
        client = await asyncio.to_thread(_client, endpoint, resource)
        _log.info("exporting over OTLP", extra={"endpoint": endpoint})
        try:
            while not self._changed.is_set():
                await self._export(client)
                try:
                    async with asyncio.timeout(self._period_s):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            # What waits is of no use to the next collector.
            self._spans.take()
            client.close()

    async def _export(self, client: "OtlpClient") -> None:
        spans = self._spans.take()
        if spans:
            await self._timed("traces", lambda: client.send_spans(spans))
        await self._timed("metrics", lambda: client.send_figures(self._collect_figures()))

    async def _timed(self, signal: str, send: Callable[[], bool]) -> None:
        began = time.monotonic()
        try:
            sent = await asyncio.to_thread(send)
        except Exception:  # noqa: BLE001 - an export must never take the service with it
            _log.exception("an export failed by a fault of its own", extra={"signal": signal})
            sent = False
        self._figures.otlp_duration.labels(signal).set(time.monotonic() - began)
        self._figures.otlp_exports.labels(signal, "sent" if sent else "failed").inc()
        if sent:
            self._failing.discard(signal)
        elif signal not in self._failing:
            self._failing.add(signal)
            _log.warning("the OTLP endpoint takes nothing", extra={"signal": signal})


def _client(endpoint: str, resource: Mapping[str, str]) -> "OtlpClient":
    # A server that exports nothing carries none of it.
    from tokenflow_api.serving.otlp import OtlpClient  # noqa: PLC0415 - see above

    return OtlpClient(endpoint, resource=resource)
