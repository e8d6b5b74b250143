"""What the metrics tell of the model."""

from collections.abc import Mapping

from tokenflow_api.hints import ModelReport
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.learn.arms import Arm


def publish(report: ModelReport, delays_us: Mapping[Arm, float | None]) -> None:
    """Set the metrics.

    Args:
        report: on the model.
        delays_us: mean queueing delay of each arm; ``None`` where it had no window.
    """
    metrics.MODEL_INFO.clear()
    if report.version:
        metrics.MODEL_INFO.labels(report.version, report.mode).set(1)
    metrics.MODEL_DRIFTED.set(report.drifted)
    for forecaster, mae_us in (("model", report.mae_us), ("baseline", report.baseline_mae_us)):
        if mae_us is not None:
            metrics.MODEL_ERROR.labels(forecaster).set(mae_us)
    for side, delay_us in delays_us.items():
        if delay_us is not None:
            metrics.MODEL_DELAY.labels(side).set(delay_us)
