"""``kubectl tokenflow status``: is it well, what fires, what to do."""

import json
from collections.abc import Sequence
from datetime import datetime

from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.overview import advice, details, summary
from tokenflow_operator.cli.resources import Seen, read


def status(kubectl: Kubectl, *, everywhere: bool, output: str, now: datetime) -> tuple[str, bool]:
    """Return what to print, and whether all is well.

    Args:
        kubectl: the caller's.
        everywhere: whether to look at all namespaces.
        output: ``text``, ``wide`` or ``json``.
        now: time of day, for ages.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: the resources could not be read.
    """
    resources = read(kubectl, everywhere=everywhere)
    well = not any(seen.complaints for seen in resources)
    if output == "json":
        return _document(resources, well=well), well
    if not resources:
        return "No PacingPolicy and no TelemetryAgent here: look everywhere with -A.\n", well
    parts = [summary(resources, now=now), *([details(resources)] if output == "wide" else [])]
    return "\n".join(part for part in (*parts, advice(resources) or "All is well.\n") if part), well


def _document(resources: Sequence[Seen], *, well: bool) -> str:
    listed = [
        {
            "kind": seen.kind,
            "namespace": seen.namespace,
            "name": seen.name,
            "well": not seen.complaints,
            "complaints": seen.complaints,
            "status": seen.status.model_dump(mode="json", exclude_none=True),
        }
        for seen in resources
    ]
    return json.dumps({"well": well, "resources": listed}, indent=2) + "\n"
