"""What the agent's port shows: health, the state of each signal, metrics and the last windows."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenflow_agent.delivery.state import DeliveryState, DestinationState
from tokenflow_agent.export import exposition
from tokenflow_agent.export.history import History
from tokenflow_agent.export.model import Family
from tokenflow_agent.export.server import Answer, Page, Request
from tokenflow_api.telemetry import Signal

HEARTBEAT_S: Final = 120.0
"""Age of the last turn of the main loop beyond which it counts as stuck: the longest window, and a compile."""
_NUMBER: Final = re.compile("[0-9]{1,18}")
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """Where the pages get what they show.

    Attributes:
        signals: called for the state of each signal.
        delivery: called for how delivery fares.
        families: called for all metrics.
        history: the last windows.
        beat: called for when the main loop last turned, by ``clock``.
        clock: monotonic, in seconds.
    """

    signals: Callable[[], Sequence[Signal]]
    delivery: Callable[[], DeliveryState]
    families: Callable[[], Iterator[Family]]
    history: History
    beat: Callable[[], float]
    clock: Callable[[], float] = time.monotonic


def pages(shown: Shown) -> Mapping[str, Page]:
    """Return the pages by path."""

    def healthz(_: Request) -> Answer:
        age = shown.clock() - shown.beat()
        return _json({"windowAgeSeconds": age}, status=200 if age < HEARTBEAT_S else 503)

    def readyz(_: Request) -> Answer:
        # Degraded is ready: each signal that is read is worth having.
        state = shown.delivery()
        return _json(
            {
                "signals": [signal.model_dump(mode="json") for signal in shown.signals()],
                "deliveries": [_destination(each) for each in state.destinations],
                "spool": {
                    "diskBytes": state.spool.disk_bytes,
                    "memoryBytes": state.spool.memory_bytes,
                    "reason": state.spool.reason,
                    "message": state.spool.message,
                },
            }
        )

    def metrics(request: Request) -> Answer:
        form = exposition.chosen(request.accept)
        return Answer(form.content_type, exposition.blocks(form.text(shown.families())))

    def windows(request: Request) -> Answer:
        after = request.query.get("after", "0")
        if not _NUMBER.fullmatch(after):
            return Answer(_TEXT, [b"after is the sequence of the last window that is known: write a number\n"], 400)
        return Answer(_JSON, _windows(shown.history, after=int(after)))

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/windows": windows}


def _destination(state: DestinationState) -> dict[str, object]:
    return {
        "policy": state.policy,
        "url": state.url,
        "circuit": state.circuit,
        "message": state.message,
        "waiting": state.waiting,
        "lagSeconds": state.lag_ms / 1000,
        "outcomes": dict(state.outcomes),
        "dropped": dict(state.dropped),
    }


def _json(document: object, *, status: int = 200) -> Answer:
    return Answer(_JSON, [json.dumps(document).encode()], status)


def _windows(history: History, *, after: int) -> Iterator[bytes]:
    mark = '{"batches": ['
    for document in history.after(after):
        yield f"{mark}{document}".encode()
        mark = ", "
    yield b"]}" if mark == ", " else b'{"batches": []}'
