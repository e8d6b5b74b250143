"""docs/gateway.md names every metric of the gateway, and no other."""

import re
from pathlib import Path

import tokenflow_gateway
import tokenflow_gateway.server
from tokenflow_gateway.metrics import REGISTRY

DOCS = Path(tokenflow_gateway.__path__[0]).parents[1] / "docs" / "gateway.md"
NAME = re.compile(r"`((?:tokenflow|otlp|llm)_\w+)(?:\{[\w, ]*\})?`")


def exported() -> set[str]:
    # Whatever serves a request is imported by now, and with it what it counts.
    assert tokenflow_gateway.server.serve
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in REGISTRY.collect()}


def test_every_metric_is_documented_and_nothing_else() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in NAME.findall(row.split("|")[1])}
    assert documented - exported() == set()
    # This one is told of in a sentence, where it matters.
    assert exported() - documented == {"tokenflow_gateway_quota_uncounted_tokens_total"}
