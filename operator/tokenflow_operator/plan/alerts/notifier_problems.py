"""What is said of notifiers whose receivers cannot be told. A receiver's URL is never part of it."""

from collections.abc import Iterator, Mapping, Sequence

from tokenflow_api.pacing_policy import Notifier
from tokenflow_operator.keys import Key
from tokenflow_operator.notify.model import URL_KEY, NotifierState, TroubleKind
from tokenflow_operator.plan.reasons import Problem, Reason, Severity
from tokenflow_operator.settings import Identity


def notifier_problems(
    policy: Key, notifiers: Sequence[Notifier], states: Mapping[str, NotifierState], *, operator: Identity
) -> Iterator[Problem]:
    """Yield what is wrong with a policy's notifiers.

    Args:
        policy: whose notifiers they are.
        notifiers: as the policy names them.
        states: what is known of them.
        operator: who must be allowed to read their Secrets.
    """
    for notifier in notifiers:
        state = states.get(notifier.name)
        if state is None or state.trouble is None:
            continue
        about = f"notifier {notifier.name}: {state.trouble.message}"
        if state.trouble.kind is TroubleKind.FAILING:
            message = f"{about}: see whether the operator can reach its receiver; it is tried again every minute"
            yield Problem(reason=Reason.NOTIFIER_FAILING, severity=Severity.DEGRADED, message=message)
            continue
        remedy = (
            f"run {_grant(policy.namespace, notifier.secret_ref.name, operator)}"
            if state.trouble.kind is TroubleKind.FORBIDDEN
            else f"write an http or https URL into its key {URL_KEY}"
        )
        message = f"{about}: {remedy}"
        yield Problem(reason=Reason.NOTIFIER_SECRET_UNREADABLE, severity=Severity.DEGRADED, message=message)


def _grant(namespace: str, secret: str, operator: Identity) -> str:
    """Return the commands that let the operator read one Secret, and no other."""
    role = f"tokenflow-read-{secret}"
    account = f"{operator.namespace}:{operator.service_account}"
    return (
        f"kubectl -n {namespace} create role {role} --verb=get --resource=secrets --resource-name={secret}"
        f" && kubectl -n {namespace} create rolebinding {role} --role={role} --serviceaccount={account}"
    )
