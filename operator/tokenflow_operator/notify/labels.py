"""What a notice is known by, as alerts of Prometheus are: the same labels and annotations as the rules'."""

from tokenflow_operator.keys import Key
from tokenflow_operator.notify.model import Notice


def group_labels(policy: Key) -> dict[str, str]:
    """Return what all notices of a policy have in common."""
    return {"namespace": policy.namespace, "policy": policy.name}


def labels(notice: Notice, policy: Key) -> dict[str, str]:
    """Return what tells an alert from every other."""
    return {"alertname": notice.name, "severity": notice.severity, **group_labels(policy)}


def annotations(notice: Notice, policy: Key) -> dict[str, str]:
    """Return what is said of an alert."""
    summary = f"PacingPolicy {policy.namespace}/{policy.name}: {notice.summary}"
    described = {"description": notice.message} if notice.message else {}
    return {"summary": summary, **described, "runbook_url": notice.runbook}
