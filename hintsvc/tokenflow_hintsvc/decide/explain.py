"""How the rates of a round came about, for people."""

from collections import defaultdict

from tokenflow_api.hints import ALL_PATHS, ExplainReply, Explanation, Hint, RateStep, Snapshot
from tokenflow_hintsvc.decide.decision import Decision
from tokenflow_hintsvc.decide.rates import Rated


def explanations(decision: Decision, snapshot: Snapshot) -> list[ExplainReply]:
    """Return for each tenant how the hints of its paths came about.

    Args:
        decision: what the round came to.
        snapshot: the hints that were made of it.
    """
    rated = {(each.sample.key.tenant, each.sample.key.path): each for each in decision.rated}
    by_tenant: defaultdict[str, list[Explanation]] = defaultdict(list)
    for hint in snapshot.shadow or snapshot.hints:
        own = by_tenant[hint.tenant]
        each = rated.get((hint.tenant, hint.path))
        if each is not None:
            own.append(_explanation(hint, each, decision))
        elif hint.path == ALL_PATHS:
            own.append(Explanation(hint=hint, terms=hint.terms, steps=[]))
    return [
        ExplainReply(
            tenant=tenant,
            term=snapshot.term,
            version=snapshot.version,
            generation=snapshot.generation,
            at_unix_ms=snapshot.at_unix_ms,
            explanations=own,
        )
        for tenant, own in by_tenant.items()
    ]


def _explanation(hint: Hint, rated: Rated, decision: Decision) -> Explanation:
    health = decision.memory.paths[rated.sample.key].health
    steps = [
        RateStep(name=step.name, tokens_per_second=step.tokens_per_second, acted=step.acted) for step in rated.steps
    ]
    return Explanation(hint=hint, terms=health.terms(), steps=steps)
