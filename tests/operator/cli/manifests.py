"""Resources as the API serves them, well unless a test says otherwise."""

from typing import Any

from tests.operator import builders

NOW = builders.NOW


def _resource(planned: builders.Plan, key: Any, spec: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": key.kind,
        "metadata": {
            "namespace": key.namespace,
            "name": key.name,
            "generation": 1,
            "creationTimestamp": "2025-12-31T00:00:00Z",
        },
        "spec": spec,
        "status": {**(planned.status or {}), **changes},
    }


def policy(**status: Any) -> dict[str, Any]:
    snapshot = builders.settled_policy()
    spec = snapshot.policy.spec.model_dump(mode="json", exclude_none=True)
    return _resource(builders.plan_of(snapshot), snapshot.policy.key, spec, status)


def agent(**status: Any) -> dict[str, Any]:
    snapshot = builders.settled_agent()
    spec = snapshot.agent.spec.model_dump(mode="json", exclude_none=True)
    return _resource(builders.plan_of(snapshot), snapshot.agent.key, spec, status)


def condition(type_: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": reason,
        "message": message,
    }
