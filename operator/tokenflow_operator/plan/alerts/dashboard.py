"""A Grafana dashboard for each policy, in a ConfigMap that Grafana's sidecar finds by its label."""

import json
from typing import Any, Final

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_operator.kube.kinds import CONFIG_MAP
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names
from tokenflow_operator.plan.alerts.panels import grid
from tokenflow_operator.plan.alerts.pictures import rows
from tokenflow_operator.plan.alerts.scope import scope
from tokenflow_operator.plan.objects import Owner, digest
from tokenflow_operator.settings import Monitoring

COMPONENT: Final = "dashboard"
DASHBOARD_LABEL: Final = {"grafana_dashboard": "1"}
_SCHEMA: Final = 39
"""Version of Grafana's own format: that of Grafana 10 and 11."""


def dashboard_object(owner: Owner, spec: PacingPolicySpec, monitoring: Monitoring) -> Manifest:
    """Render the dashboard of a policy."""
    document = json.dumps(_dashboard(owner, spec, monitoring), separators=(",", ":"))
    file = f"tokenflow-{owner.key.namespace}-{owner.key.name}.json"
    name = names.dashboard(owner.key.name)
    return owner.object(CONFIG_MAP, name, COMPONENT, labels=DASHBOARD_LABEL, data={file: document})


def _dashboard(owner: Owner, spec: PacingPolicySpec, monitoring: Monitoring) -> dict[str, Any]:
    where = f"{owner.key.namespace}/{owner.key.name}"
    return {
        "uid": f"tokenflow-{digest(where)}",
        "title": f"TokenFlow {where}",
        "tags": ["tokenflow"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "links": [
            {
                "title": "What the alerts mean",
                "type": "link",
                "url": f"{monitoring.docs_url.rstrip('/')}/alerts.md",
                "targetBlank": True,
            }
        ],
        "panels": grid(rows(scope(owner.key, spec))),
    }
