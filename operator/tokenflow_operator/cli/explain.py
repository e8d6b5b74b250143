"""``kubectl tokenflow explain``: how the rates of a tenant came about."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from pydantic import ValidationError

from tokenflow_api.hints import ExplainReply, Explanation
from tokenflow_api.pacing_policy import PacingPolicySpec, Security
from tokenflow_api.runtime import TOKEN_AUDIENCE
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.resources import POLICIES
from tokenflow_operator.cli.table import table
from tokenflow_operator.cli.tunnel import HintServiceAddress, forwarded, get
from tokenflow_operator.errors import HintServiceUnreachableError, InvalidError, KubeError, NotFoundError
from tokenflow_operator.keys import OWNER_LABEL, Key
from tokenflow_operator.kube.kinds import PACING_POLICY
from tokenflow_operator.plan import names
from tokenflow_operator.plan.address import hint_service_scheme

_TOKEN_LIFETIME: Final = "10m"  # noqa: S105 - a time; the shortest that the API grants
_UNKNOWN: Final = "-"


def explain(kubectl: Kubectl, tenant: str, *, policy: str, service_account: str) -> ExplainReply:
    """Ask the hint service how the rates of a tenant came about.

    Args:
        kubectl: the caller's.
        tenant: whose rates.
        policy: that knows the tenant; empty where only one does.
        service_account: ``NAMESPACE/NAME`` to ask as; empty is the gateway's of the policy.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: the policy was not found or cannot be read, or the caller may not do this.
        HintServiceError: the hint service did not answer.
    """
    found = _policy(kubectl, tenant, policy=policy)
    namespace, name = found["metadata"]["namespace"], found["metadata"]["name"]
    there = Kubectl(kubeconfig=kubectl.kubeconfig, context=kubectl.context, namespace=namespace)
    with _of_this_release(f"policy {name}"):
        spec = PacingPolicySpec.model_validate(found["spec"])
        asking_as = service_account or f"{namespace}/{names.gateway(name)}"
    address = _address(there, Key(kind=PACING_POLICY.kind, namespace=namespace, name=name), spec.security)
    token = _token(there, asking_as)
    with forwarded(there, address) as port:
        body = get(port, f"/v1/explain/{quote(tenant, safe='')}", address, token=token)
    try:
        return ExplainReply.model_validate_json(body)
    except ValidationError as error:
        raise HintServiceUnreachableError(f"not an explanation: {error.error_count()} errors") from error


@contextmanager
def _of_this_release(what: str) -> Iterator[None]:
    """Take what cannot be read for what another release wrote."""
    try:
        yield
    except (ValidationError, KeyError) as error:
        raise InvalidError(f"{what} cannot be read: use the plugin of the operator's release: {error}") from error


def text(reply: ExplainReply) -> str:
    """Return an explanation for people to read."""
    head = f"Tenant {reply.tenant}, generation {reply.generation}, term {reply.term}, round {reply.version}\n"
    return "\n".join((head, *(_path(explanation) for explanation in reply.explanations)))


def _path(explanation: Explanation) -> str:
    hint = explanation.hint
    unseen = f", not seen by {' and '.join(hint.missing)}" if hint.missing else ""
    outcome = (
        f"  gives {hint.tokens_per_second:.1f} tokens/s in batches of {hint.batch_size}, {hint.source.value}"
        f" in mode {hint.mode.value}, new requests: {hint.admission.value}"
    )
    lines = [
        f"Path {hint.path}: {hint.state.value}, health {hint.health:.0%} (uncertain by {hint.uncertainty:.0%}){unseen}",
        *_indented(table(("SIGNAL", "VALUE", "THRESHOLD", "HEALTH"), list(_terms(explanation)))),
        *_indented(table(("STEP", "TOKENS/S", ""), list(_steps(explanation)))),
        outcome,
    ]
    return "\n".join(lines) + "\n"


def _terms(explanation: Explanation) -> Iterator[tuple[object, ...]]:
    for term in explanation.terms:
        value = _UNKNOWN if term.value is None else f"{term.value:.4g}"
        yield term.signal, value, f"{term.threshold:.4g}", f"x {term.factor:.2f}"


def _steps(explanation: Explanation) -> Iterator[tuple[object, ...]]:
    for step in explanation.steps:
        yield step.name, f"{step.tokens_per_second:.1f}", "changed it" if step.acted else ""


def _indented(block: str) -> Iterator[str]:
    return (f"    {line}" for line in block.splitlines())


def _policy(kubectl: Kubectl, tenant: str, *, policy: str) -> Mapping[str, Any]:
    if policy:
        found: Mapping[str, Any] = kubectl.json("get", POLICIES, policy)
        return found
    policies = kubectl.items((POLICIES,))
    knowing = [each for each in policies if tenant in _tenants(each)]
    if len(knowing) > 1:
        several = ", ".join(each["metadata"]["name"] for each in knowing)
        raise InvalidError(f"tenant {tenant} is in the policies {several}: say which with --policy")
    if not knowing:
        known = sorted({name for each in policies for name in _tenants(each)})
        words = f"there are {', '.join(known)}" if known else "there is no policy: say where with -n"
        raise NotFoundError(f"no policy of this namespace names the tenant {tenant}: {words}")
    return knowing[0]


def _tenants(policy: Mapping[str, Any]) -> Sequence[str]:
    return [tenant["name"] for tenant in policy["spec"]["tenants"]]


def _address(kubectl: Kubectl, policy: Key, security: Security) -> HintServiceAddress:
    service = names.hintsvc(policy.name)
    pods = kubectl.items(("pods",), labels=f"{OWNER_LABEL}={policy.owner_label}")
    return HintServiceAddress(
        service=service,
        host=f"{service}.{policy.namespace}.svc",
        port=names.HINT_PORT,
        tls=hint_service_scheme(security, pods) == "https",
        authorities=security.ca_bundle,
    )


def _token(kubectl: Kubectl, service_account: str) -> str:
    namespace, _, name = service_account.rpartition("/")
    asked = ("create", "token", name, f"--audience={TOKEN_AUDIENCE}", f"--duration={_TOKEN_LIFETIME}")
    there = Kubectl(kubeconfig=kubectl.kubeconfig, context=kubectl.context, namespace=namespace or kubectl.namespace)
    try:
        return there.run(*asked).strip()
    except KubeError as error:
        remedy = (
            f"ask for the right to create serviceaccounts/token of {service_account}, or name with --service-account"
            " NAMESPACE/NAME another that the policy's runtime config grants"
        )
        raise type(error)(f"{error}: {remedy}") from error
