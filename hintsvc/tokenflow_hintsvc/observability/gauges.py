"""Figures of what is there at present: read when somebody asks for them."""

from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.ingest.intake import Intake
from tokenflow_hintsvc.observability.spans import SPANS
from tokenflow_hintsvc.view.current import View


def publish(view: View, intake: Intake) -> None:
    """Let the metrics tell of these from now on."""
    metrics.SNAPSHOT_AGE.set_function(lambda: -1.0 if view.age_s is None else view.age_s)
    metrics.WAITING.labels("batches").set_function(lambda: len(intake))
    metrics.WAITING.labels("spans").set_function(lambda: len(SPANS))
