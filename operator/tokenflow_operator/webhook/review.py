"""What of a resource others forbid, and what is worth a warning. No I/O.

An edit of a resource that is in conflict already is let through with a warning: it may be on its way to mend it.
Nothing here replaces the conditions: two writes at once can still slip past each other.
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from pydantic import ValidationError

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.kube import Manifest
from tokenflow_operator.kube.kinds import PACING_POLICY
from tokenflow_operator.plan.claims import claim_problems
from tokenflow_operator.plan.enumeration import some
from tokenflow_operator.plan.reasons import Reason
from tokenflow_operator.plan.rollout.overlap import overlap_of
from tokenflow_operator.snapshot import Agent, Known, Policy, Resource
from tokenflow_operator.webhook.admission import Request, Verdict
from tokenflow_operator.webhook.risks import agent_risks, policy_risks

_YOUNGEST: Final = "9999-12-31T23:59:59Z"
"""Whoever is about to take a node from another has to step back, however old they are."""
_NAMED: Final = 5

SpecT = TypeVar("SpecT", PacingPolicySpec, TelemetryAgentSpec)


def review(request: Request, known: Known) -> Verdict:
    """Return whether the resource may be written.

    What cannot be read may: its condition ``InvalidSpec`` says more than a refusal by an operator of another version.
    """
    if not request.changes_spec:
        return Verdict()
    try:
        if request.key.kind == PACING_POLICY.kind:
            return _policy(request, known)
        return _agent(request, known)
    except ValidationError:
        return Verdict(warnings=("spec: this version of the operator cannot read it, so it was not checked",))


def _policy(request: Request, known: Known) -> Verdict:
    policy = _resource(request, request.after, PacingPolicySpec)
    before = _resource(request, request.before, PacingPolicySpec) if request.before else None
    standing = {problem.reason for problem in claim_problems(before, known.policies)} if before else set()
    problems = list(claim_problems(policy, known.policies))
    refused = [problem for problem in problems if problem.reason in {Reason.TENANT_CLAIMED_TWICE} - standing]
    warnings = [problem.message for problem in problems if problem not in refused]
    return Verdict(
        refusal="; ".join(problem.message for problem in refused),
        warnings=(*warnings, *_missing_agents(policy, known.agents), *policy_risks(policy.spec)),
    )


def _agent(request: Request, known: Known) -> Verdict:
    words = _overlap(_resource(request, request.after, TelemetryAgentSpec), known)
    stands = bool(request.before and _overlap(_resource(request, request.before, TelemetryAgentSpec), known))
    risks = agent_risks(TelemetryAgentSpec.model_validate(request.after.get("spec", {})))
    if words and not stands:
        return Verdict(refusal=words, warnings=tuple(risks))
    return Verdict(warnings=(*([words] if words else []), *risks))


def _overlap(agent: Agent, known: Known) -> str:
    others = [other for other in known.agents if other.key != agent.key]
    overlap = overlap_of(agent, [*others, agent], known.nodes)
    if overlap is None:
        return ""
    where = f"on {some(overlap.nodes, most=_NAMED)}" if overlap.nodes else "on nodes that both may select"
    return (
        f"spec.nodeSelector: {overlap.older.key} runs agents {where}: change the selector of either so that they"
        " share no node"
    )


def _missing_agents(policy: Policy, agents: Sequence[Agent]) -> Iterator[str]:
    there = {agent.key.name for agent in agents if agent.key.namespace == policy.key.namespace}
    for agent in policy.spec.telemetry.agents:
        if agent.name not in there:
            yield f"spec.telemetry.agents: there is no TelemetryAgent {agent.name} in this namespace yet"


def _resource(request: Request, manifest: Manifest, model: type[SpecT]) -> Resource[SpecT]:
    meta = manifest["metadata"]
    return Resource(
        key=request.key,
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 1),
        spec=model.model_validate(manifest.get("spec", {})),
        created_at=_YOUNGEST,
        status={},
    )
