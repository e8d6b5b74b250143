"""The spans of this process, as ``metrics.REGISTRY`` holds its figures."""

from typing import Final

from tokenflow_api.serving.spans import Spans
from tokenflow_hintsvc import metrics

SPANS: Final = Spans(dropped=metrics.SERVING.spans_dropped.inc)
