"""The model beside the law: the leader's rounds feed it, and it thinks in a thread of its own."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from tokenflow_api.hints import ModelReport
from tokenflow_api.modes import ModelMode
from tokenflow_api.pacing_policy import Model as ModelSpec
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.configuration import Configuration
from tokenflow_hintsvc.decide.decision import BLIND, Foresight
from tokenflow_hintsvc.decide.forecast import Forecast
from tokenflow_hintsvc.decide.samples import PathKey, PathSample
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.learn.arms import Arm, arm
from tokenflow_hintsvc.learn.choice import Choice
from tokenflow_hintsvc.learn.errors import LearnError
from tokenflow_hintsvc.learn.model import Model, Outlook
from tokenflow_hintsvc.learn.telling import publish
from tokenflow_hintsvc.learn.tracking import Tracker
from tokenflow_hintsvc.learn.watch import Watch
from tokenflow_hintsvc.learn.windows import Windows

_log = logging.getLogger(__name__)

PERIOD_S: Final = 1.0
"""Least time between two forecasts."""


class Forecasting:
    """Forecasts of all paths that the leader follows.

    ``foresee`` is called from the leader's rounds and only looks at what is at hand; ``run`` owns the work.

    Args:
        choice: which model serves.
        configuration: what the policy asks for.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, *, choice: Choice, configuration: Configuration, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._choice = choice
        self._configuration = configuration
        self._clock = clock
        self._windows = Windows()
        self._due: set[PathKey] = set()
        self._asked = False
        self._forecasts: dict[PathKey, Forecast] = {}
        self._report: ModelReport | None = None
        self._begin(None)

    def foresee(self, samples: Sequence[PathSample]) -> Foresight:
        """Take in a round's samples, and return the forecasts that may act.

        Args:
            samples: of all paths.
        """
        spec = self._spec()
        if spec is None or spec.mode is ModelMode.OFF:
            return BLIND
        self._asked = True
        for sample in self._windows.observe(samples):
            self._due.add(sample.key)
            self._tracker.came(sample.key, sample.rtt_us)
            if self._serving is not None and sample.rtt_us and sample.remembered_min_us:
                side = arm(sample.key.tenant, spec, version=self._serving.card.version)
                self._tracker.delayed(side, max(0.0, sample.rtt_us - sample.remembered_min_us))
        alive = {sample.key for sample in samples}
        self._tracker.forget(alive)
        self._forecasts = {key: each for key, each in self._forecasts.items() if key in alive}
        return Foresight(forecasts=self._acting(spec), report=self._report)

    async def run(self) -> None:
        """Forecast each second whatever has a new window, and judge what came, until cancelled."""
        while True:
            started = self._clock()
            spec = self._spec()
            # Only a leader's rounds ask: a follower needs no model.
            if spec is not None and spec.mode is not ModelMode.OFF and self._asked:
                self._asked = False
                await self._choose(spec)
                await self._forecast()
                self._report = self._judged(spec)
            took = self._clock() - started
            metrics.MODEL_SKIPPED.inc(int(took / PERIOD_S))
            await asyncio.sleep(max(0.0, PERIOD_S - took))

    async def _choose(self, spec: ModelSpec) -> None:
        try:
            chosen = await self._choice.model(spec)
        except (StoreError, LearnError) as error:
            metrics.STORE_ERRORS.labels("model").inc()
            _log.warning("the registry of models cannot be used", extra={"reason": str(error)})
            return
        if chosen is not self._serving:
            _log.info("model chosen", extra={"version": chosen.card.version if chosen else ""})
            self._begin(chosen)

    def _begin(self, model: Model | None) -> None:
        self._serving: Model | None = model
        self._tracker = Tracker()
        self._watch = Watch()
        self._forecasts = {}

    async def _forecast(self) -> None:
        model, watch, tracker = self._serving, self._watch, self._tracker
        keys, history_us = self._windows.ready(sorted(self._due))
        self._due.clear()
        if model is None or not keys:
            return
        with metrics.MODEL_INFERENCE.time():
            outlook = await asyncio.to_thread(model.outlook, history_us)
            # Copies: meanwhile rounds go on.
            errors, residuals = tracker.errors_us, tracker.residuals
            await asyncio.to_thread(watch.look, model, outlook.general, errors, residuals)
        tracker.expect(keys, outlook.quantiles_us["p50"], history_us)
        self._forecasts = {**self._forecasts, **_forecasts(keys, outlook, version=model.card.version)}

    def _acting(self, spec: ModelSpec) -> dict[PathKey, Forecast]:
        if self._serving is None or self._watch.drifted:
            return {}
        version = self._serving.card.version
        return {
            key: forecast
            for key, forecast in self._forecasts.items()
            if arm(key.tenant, spec, version=version) is Arm.MODEL and forecast.anomaly < 1
        }

    def _judged(self, spec: ModelSpec) -> ModelReport:
        errors = self._tracker.errors_us
        message = self._choice.trouble
        if self._watch.drifted:
            message = f"the law runs alone: {self._watch.reason}; train on newer telemetry, or wait until it is over"
        version = self._serving.card.version if self._serving else ""
        report = ModelReport(
            mode=spec.mode,
            version=version,
            message=message,
            drifted=self._watch.drifted,
            mae_us=errors[0] if errors else None,
            baseline_mae_us=errors[1] if errors else None,
        )
        publish(report, {side: self._tracker.mean_delay_us(side) for side in Arm})
        return report

    def _spec(self) -> ModelSpec | None:
        config = self._configuration.current
        return config.spec.model if config else None


def _forecasts(keys: Sequence[PathKey], outlook: Outlook, *, version: str) -> dict[PathKey, Forecast]:
    means = {name: steps.mean(axis=1).tolist() for name, steps in outlook.quantiles_us.items()}
    return {
        key: Forecast(p10_us=p10, p50_us=p50, p90_us=p90, anomaly=anomaly, version=version)
        for key, p10, p50, p90, anomaly in zip(
            keys, means["p10"], means["p50"], means["p90"], outlook.anomaly.tolist(), strict=True
        )
    }
