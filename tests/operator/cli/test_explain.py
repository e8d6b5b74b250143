"""An explanation, for people to read."""

import pytest

from tests.operator import builders
from tokenflow_api.hints import ExplainReply, Explanation, RateStep, Term
from tokenflow_operator.cli.explain import explain, text
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.errors import InvalidError

REPLY = ExplainReply(
    tenant="gold",
    term=7,
    version=12,
    generation=3,
    at_unix_ms=builders.NOW_MS,
    explanations=[
        Explanation(
            hint=builders.hint("gold", path="llama/10.0.0.0/24", rate=40.0, health=0.5),
            terms=[
                Term(signal="rtt", value=1500.0, threshold=1250.0, factor=0.5),
                Term(signal="gpu", value=None, threshold=0.9, factor=1.0),
            ],
            steps=[
                RateStep(name="law", tokens_per_second=40.0, acted=True),
                RateStep(name="quota", tokens_per_second=40.0, acted=False),
            ],
        )
    ],
)


def test_each_step_to_the_rate_is_told() -> None:
    assert text(REPLY) == (
        "Tenant gold, generation 3, term 7, round 12\n"
        "\n"
        "Path llama/10.0.0.0/24: Clear, health 50% (uncertain by 0%)\n"
        "    SIGNAL   VALUE   THRESHOLD   HEALTH\n"
        "    rtt      1500    1250        x 0.50\n"
        "    gpu      -       0.9         x 1.00\n"
        "    STEP    TOKENS/S\n"
        "    law     40.0       changed it\n"
        "    quota   40.0\n"
        "  gives 40.0 tokens/s in batches of 1, Live in mode Enforce, new requests: Admit\n"
    )


def test_a_policy_of_another_release_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = builders.example("pacingpolicy.yaml") | {"mode": "Dream"}
    policy = {"metadata": {"namespace": "llm", "name": "demo"}, "spec": spec}
    monkeypatch.setattr(Kubectl, "json", lambda *_: policy)
    with pytest.raises(InvalidError, match="use the plugin of the operator's release"):
        explain(Kubectl(), "gold", policy="demo", service_account="llm/me")
