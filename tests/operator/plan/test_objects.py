"""What all rendered objects have in common."""

from tokenflow_api.meta import Resources
from tokenflow_operator.plan.objects import resources

REQUESTS, LIMITS = {"cpu": "100m", "memory": "128Mi"}, {"memory": "256Mi"}


def test_defaults_fill_up_what_was_asked_for() -> None:
    asked = Resources.model_validate({"requests": {"cpu": "1"}})
    assert resources(asked, requests=REQUESTS, limits=LIMITS) == {
        "requests": {"cpu": "1", "memory": "128Mi"},
        "limits": {"memory": "256Mi"},
    }


def test_defaults_that_give_way_leave_nothing_empty() -> None:
    asked = Resources.model_validate({"limits": {"cpu": "1", "memory": "1Gi"}})
    assert resources(asked, requests=REQUESTS, limits=LIMITS) == {"limits": {"cpu": "1", "memory": "1Gi"}}
