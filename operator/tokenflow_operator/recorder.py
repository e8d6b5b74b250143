"""Writes Events, and does not repeat itself."""

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from tokenflow_api.meta import API_VERSION
from tokenflow_operator import metrics
from tokenflow_operator.errors import KubeError
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Kube, Manifest
from tokenflow_operator.kube.kinds import EVENT
from tokenflow_operator.plan import Note

CONTROLLER: Final = "tokenflow.io/operator"
_MAX_NOTE_BYTES: Final = 1024
_QUIET_S: Final = 600.0
_MAX_REMEMBERED: Final = 4096

_log: Final = logging.getLogger(__name__)


class Recorder:
    """Records Events about resources.

    The same words about the same resource are written once in ten minutes. Beyond 4096 of them the
    oldest are forgotten, so that an Event may then come twice.
    """

    def __init__(self, *, kube: Kube, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Record Events.

        Args:
            kube: where they are written.
            instance: name of this operator process.
            clock: monotonic seconds.
        """
        self._kube = kube
        self._instance = instance
        self._clock = clock
        self._written_at: OrderedDict[tuple[str, Note], float] = OrderedDict()

    async def record(self, key: Key, uid: str, note: Note) -> None:
        """Write an Event unless it says nothing new. A failure is counted and logged: nothing depends on Events."""
        now = self._clock()
        written_at = self._written_at.get((uid, note))
        if written_at is not None and now - written_at < _QUIET_S:
            metrics.EVENTS_SUPPRESSED.inc()
            return
        try:
            await self._kube.create(EVENT, self._event(key, uid, note))
        except KubeError as error:
            metrics.EVENTS_FAILED.inc()
            _log.warning("an Event was not written", extra={"key": str(key), "cause": str(error)})
            return
        self._written_at[uid, note] = now
        self._written_at.move_to_end((uid, note))
        while len(self._written_at) > _MAX_REMEMBERED:
            self._written_at.popitem(last=False)

    def _event(self, key: Key, uid: str, note: Note) -> Manifest:
        moment = datetime.now(UTC)
        unique = hashlib.sha256(f"{uid}{note}{moment.isoformat()}{self._instance}".encode()).hexdigest()[:16]
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": f"{key.name}.{unique}", "namespace": key.namespace},
            "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": note.type,
            "reason": note.reason,
            "action": note.action,
            "note": note.message.encode()[:_MAX_NOTE_BYTES].decode(errors="ignore"),
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": key.kind,
                "namespace": key.namespace,
                "name": key.name,
                "uid": uid,
            },
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
        }
