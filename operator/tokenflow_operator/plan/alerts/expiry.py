"""What ends soon: the certificate that the hint service serves with, and API keys of tenants."""

from datetime import UTC, datetime

from tokenflow_api.cluster import ClusterView
from tokenflow_operator.plan.alerts.definitions import AlertName
from tokenflow_operator.plan.alerts.table import EXPIRY_S
from tokenflow_operator.plan.conditions import timestamp


def expiring(view: ClusterView, *, now: datetime) -> dict[AlertName, str]:
    """Return what ends soon, or has ended, at the time of day ``now``; nothing in place of what does not."""
    certificate = view.certificate_ends_unix_ms
    keys = (_ending(f"an API key of tenant {key.tenant}", key.ends_unix_ms, now=now) for key in view.keys)
    return {
        AlertName.CERTIFICATE_EXPIRING: _ending("the certificate", certificate, now=now) if certificate else "",
        AlertName.API_KEY_EXPIRING: "; ".join(filter(None, keys)),
    }


def _ending(what: str, at_unix_ms: int, *, now: datetime) -> str:
    end = datetime.fromtimestamp(at_unix_ms / 1000, tz=UTC)
    left_s = (end - now).total_seconds()
    if left_s >= EXPIRY_S:
        return ""
    return f"{what} {'ends' if left_s > 0 else 'ended'} at {timestamp(end)}"
