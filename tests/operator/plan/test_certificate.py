"""What a PacingPolicy says of the certificate that it is served with."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from tests.operator.builders import NOW_MS, condition, example, plan_of, policy, settled_policy, view
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_operator.plan.reasons import Reason
from tokenflow_operator.snapshot import HintServiceState, PolicySnapshot, Silence

LATER_MS = NOW_MS + int(timedelta(days=30).total_seconds() * 1000)


def served(**seen: Any) -> PolicySnapshot:
    """Return a policy that serves by TLS and whose hint service answers."""
    security = {"security": {"tlsSecretRef": {"name": "demo-tls"}}}
    resource = policy(PacingPolicySpec.model_validate(example("pacingpolicy.yaml") | security))
    state = HintServiceState(view=view().model_copy(update={"certificate_ends_unix_ms": LATER_MS} | seen))
    return settled_policy(resource, hint_service=state)


def test_a_certificate_that_is_valid_is_no_problem() -> None:
    planned = plan_of(served())
    assert condition(planned, "Ready")["status"] == "True"
    assert condition(planned, "Degraded")["status"] == "False"


def test_a_secret_that_cannot_be_served_with_is_told_while_all_goes_on() -> None:
    planned = plan_of(served(certificate_error="/etc/tokenflow/tls holds no tls.key to serve with"))
    degraded = condition(planned, "Degraded")
    assert condition(planned, "Ready")["status"] == "True"
    assert degraded["reason"] == Reason.CERTIFICATE_UNUSABLE
    assert degraded["message"].startswith(
        "Secret demo-tls, which spec.security.tlsSecretRef names, cannot be served with: /etc/tokenflow/tls holds no"
        " tls.key to serve with: what runs goes on with the certificate of before"
    )


def test_a_certificate_that_has_ended_is_told() -> None:
    ready = condition(plan_of(served(certificate_ends_unix_ms=NOW_MS - 1000)), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", Reason.CERTIFICATE_UNTRUSTED)
    assert "it ended at 2025-12-31T23:59:59Z: let Secret demo-tls hold one that is valid now for" in ready["message"]


@pytest.mark.parametrize("why", ["certificate has expired", "self-signed certificate"])
def test_a_certificate_that_the_operator_does_not_believe_is_told(why: str) -> None:
    state = HintServiceState(error=why, silence=Silence.UNTRUSTED)
    ready = condition(plan_of(dataclasses.replace(served(), hint_service=state)), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", Reason.CERTIFICATE_UNTRUSTED)
    assert f"is not to be believed: {why}: let Secret demo-tls hold one" in ready["message"]
    assert "demo-hintsvc.default.svc, signed by an authority in spec.security.caBundle" in ready["message"]
