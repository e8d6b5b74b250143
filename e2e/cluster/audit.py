"""The API server's audit log: what it is told to note, and what it noted.

Who wrote what, and when, is known to nobody else: a client that counts its own requests cannot
see those that it makes by mistake.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from e2e.cluster.settings import Layout

WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})

_MAX_FILE_MB: Final = 20
_KEPT_FILES: Final = 10
"""Full files beside the one that is written."""
_REFUSED: Final = 400
_READS: Final = ["get", "list", "watch"]
_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        # Kubernetes itself reads without end, and renews its nodes' leases.
        {
            "level": "None",
            "users": ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"],
            "verbs": _READS,
        },
        {"level": "None", "users": ["system:kube-proxy"]},
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"], "verbs": _READS},
        {
            "level": "None",
            "userGroups": ["system:nodes"],
            "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
        },
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/metrics", "/openapi*"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request that the API server answered.

    Attributes:
        at: when it arrived.
        user: who made it.
        user_agent: the program by which they made it.
        verb: Kubernetes' word for it, such as ``patch``.
        group: API group, empty for the core one and for what is no resource.
        resource: plural and subresource, such as ``daemonsets/status``; the URL's path for what is no resource.
        namespace: empty for what has none.
        name: empty for collections.
        query: the URL's part after the question mark.
        allowed: whether they hold the right to ask.
        code: HTTP status of the answer; 403 also where more than the right was wanting.
    """

    at: datetime
    user: str
    user_agent: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    query: str
    allowed: bool
    code: int

    @property
    def writes(self) -> bool:
        """Whether it was to change something; a dry run is not."""
        return self.verb in WRITES and "dryRun=All" not in self.query


def flags(layout: Layout) -> tuple[str, ...]:
    """Write the audit policy and return the API server's flags for it."""
    policy = layout.state / "audit-policy.json"
    policy.write_text(json.dumps(_POLICY))
    return (
        f"--audit-policy-file={policy}",
        f"--audit-log-path={layout.audit_log}",
        f"--audit-log-maxsize={_MAX_FILE_MB}",
        f"--audit-log-maxbackup={_KEPT_FILES}",
    )


def requests(log: Path, *, user: str, since: datetime) -> Iterator[Request]:
    """Yield what a user asked for, as it was answered; a watch counts when it begins, not when it ends.

    Args:
        log: the cluster's ``Layout.audit_log``.
        user: as the API server calls them, such as ``system:serviceaccount:NAMESPACE:NAME``.
        since: of requests that arrived before this moment nothing is told.
    """
    mark = json.dumps(user)
    for file in _files(log):
        if file.stat().st_mtime < since.timestamp():
            continue
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                # To parse everybody's requests takes seconds where a test has none.
                if mark not in line or not line.endswith("\n"):
                    continue
                event = json.loads(line)
                request = _request(event)
                if _answered(event["stage"], request) and request.user == user and request.at >= since:
                    yield request


def _files(log: Path) -> list[Path]:
    """Return the log's files, oldest first: full ones are named by when they were left."""
    return [*sorted(log.parent.glob(f"{log.stem}-*{log.suffix}")), log]


def _answered(stage: str, request: Request) -> bool:
    """Whether this is the one event of a request to go by: a watch that was let in has two."""
    started = request.verb == "watch" and request.code < _REFUSED
    return stage == ("ResponseStarted" if started else "ResponseComplete")


def _request(event: dict[str, Any]) -> Request:
    path, _, query = event["requestURI"].partition("?")
    ref = event.get("objectRef", {})
    parts = [ref[part] for part in ("resource", "subresource") if part in ref]
    return Request(
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
        user=event["user"]["username"],
        user_agent=event.get("userAgent", ""),
        verb=event["verb"],
        group=ref.get("apiGroup", ""),
        resource="/".join(parts) or path,
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        query=query,
        allowed=event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow",
        code=event.get("responseStatus", {}).get("code", 0),
    )
