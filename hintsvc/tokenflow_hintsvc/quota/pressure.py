"""Whether the leader's snapshot lets a tenant's requests in."""

from typing import Final

from tokenflow_api.hints import ALL_PATHS, Admission, Hint
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.view.current import View

_MIN_WAIT_MS: Final = 100


class Pressure:
    """What the hints say of admission, kept until they change."""

    def __init__(self, view: View, configuration: Configuration, config: RuntimeConfig) -> None:
        self._view = view
        self._config = config
        configuration.on_change(self._configure)
        self._told: dict[str, int] = {}
        self._tick = 0
        view.on_change(self._told.clear)

    def wait_ms(self, tenant: str) -> int:
        """Return for how long the tenant's requests are held off; 0 where they are let in."""
        if self._view.tick != self._tick:
            self._tick = self._view.tick
            self._told.clear()
        told = self._told.get(tenant)
        if told is None:
            told = self._told[tenant] = _wait_ms(self._view.hint(tenant, ALL_PATHS, self._config))
        return told

    def _configure(self, config: RuntimeConfig) -> None:
        self._config = config
        self._told.clear()


def _wait_ms(hint: Hint) -> int:
    return 0 if hint.admission is Admission.ADMIT else max(_MIN_WAIT_MS, hint.retry_after_ms)
