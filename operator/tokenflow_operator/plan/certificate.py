"""What is said of the certificate that a policy's parts serve with."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tokenflow_api.cluster import ClusterView
from tokenflow_operator.plan import names
from tokenflow_operator.plan.conditions import timestamp
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.snapshot import Policy


def certificate_problems(policy: Policy, view: ClusterView, *, now: datetime) -> Iterator[Problem]:
    """Yield what is wrong with a certificate by which the hint service still answers the operator."""
    reference = policy.spec.security.tls_secret_ref
    if reference is None:
        return
    if view.certificate_error:
        message = (
            f"Secret {reference.name}, which spec.security.tlsSecretRef names, cannot be served with:"
            f" {view.certificate_error}: what runs goes on with the certificate of before, and what starts anew cannot:"
            " let the Secret hold a certificate in tls.crt and its key in tls.key"
        )
        yield Problem(reason=Reason.CERTIFICATE_UNUSABLE, severity=Severity.DEGRADED, message=message)
    if view.certificate_ends_unix_ms is None:
        return
    ends = datetime.fromtimestamp(view.certificate_ends_unix_ms / 1000, tz=UTC)
    if ends <= now:
        yield untrusted(policy, f"it ended at {timestamp(ends)}")


def untrusted(policy: Policy, why: str) -> Problem:
    """Return that clients do not believe the policy's certificate, and why."""
    reference = policy.spec.security.tls_secret_ref
    secret = f"Secret {reference.name}" if reference else "the Secret in spec.security.tlsSecretRef"
    message = (
        f"the certificate of the hint service and the gateway is not to be believed: {why}: let {secret} hold one that"
        f" is valid now for {names.hint_service_host(policy.key)}, signed by an authority in spec.security.caBundle"
    )
    return Problem(reason=Reason.CERTIFICATE_UNTRUSTED, severity=Severity.BLOCKING, message=message)
