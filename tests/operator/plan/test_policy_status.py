"""What a PacingPolicy's status tells of replicas and tenants."""

from tests.operator import builders
from tokenflow_api.cluster import Replica, TenantUsage
from tokenflow_operator.snapshot import HintServiceState


def test_a_tenant_shows_its_rate_and_what_it_used() -> None:
    hints = [builders.hint("gold", rate=40.0), builders.hint("idle", rate=80.0)]
    usage = [TenantUsage(tenant="gold", requests_last_minute=12, tokens_last_minute=3400)]
    view = builders.view(hints=hints).model_copy(update={"usage": usage})
    planned = builders.plan_of(builders.settled_policy(hint_service=HintServiceState(view=view)))
    assert planned.status is not None
    rows = [
        (row["name"], row["tokensPerSecond"], row["requestsLastMinute"], row["tokensLastMinute"])
        for row in planned.status["tenants"]
    ]
    assert rows == [("gold", 40, 12, 3400), ("idle", 80, 0, 0)]


def test_only_replicas_of_the_present_generation_count_as_serving() -> None:
    replicas = [
        Replica(name=f"demo-hintsvc-{number}", generation=generation, at_unix_ms=builders.NOW_MS)
        for number, generation in enumerate((2, 1, 2))
    ]
    view = builders.view(generation=2).model_copy(update={"replicas": replicas})
    resource = builders.policy(generation=2)
    planned = builders.plan_of(builders.settled_policy(resource, hint_service=HintServiceState(view=view)))
    assert planned.status is not None
    assert planned.status["servingReplicas"] == 2
