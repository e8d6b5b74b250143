"""The windows of a running agent, as it offers them on its port."""

from typing import Final

from pydantic import BaseModel, ValidationError

from tokenflow_agent.commands.answers import get
from tokenflow_agent.errors import AwayError
from tokenflow_api.telemetry import TelemetryBatch

_TIMEOUT_S: Final = 5.0
_OK: Final = 200


class _Offer(BaseModel):
    batches: list[TelemetryBatch]


class Feed:
    """Hands out each window once, in order, also over restarts of the agent.

    Args:
        url: address of the agent's port.

    Attributes:
        missed: windows that were gone before they were asked for.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._boot_id = ""
        self._sequence = 0
        self._after = 0
        self.missed = 0

    def fresh(self) -> list[TelemetryBatch]:
        """Return the windows since the last call; at the first call all that the agent still has.

        Raises:
            AwayError: the agent does not answer, or not as expected.
        """
        answer = get(self._url, f"/windows?after={self._after}", timeout_s=_TIMEOUT_S)
        if answer.status != _OK:
            raise AwayError(f"{self._url}/windows answered {answer.status}: is this the port of an agent?")
        try:
            batches = _Offer.model_validate_json(answer.body).batches
        except ValidationError as error:
            words = f"{error.error_count()} errors in its windows"
            raise AwayError(f"{self._url} speaks otherwise than this version does: {words}") from error
        fresh = [batch for batch in batches if self._take(batch)]
        # An agent that started anew counts from 1 again: after silence, ask for all.
        self._after = self._sequence if fresh else 0
        return fresh

    def _take(self, batch: TelemetryBatch) -> bool:
        same = batch.boot_id == self._boot_id
        if same and batch.sequence <= self._sequence:
            return False
        if same:
            self.missed += batch.sequence - self._sequence - 1
        self._boot_id, self._sequence = batch.boot_id, batch.sequence
        return True
