"""docs/operations.md names every metric of the hint service, and no other."""

import re
from pathlib import Path

import tokenflow_hintsvc
from tokenflow_hintsvc import metrics

DOCS = Path(tokenflow_hintsvc.__path__[0]).parents[1] / "docs" / "operations.md"


def exported() -> set[str]:
    return {
        f"{family.name}_total" if family.type == "counter" else family.name for family in metrics.REGISTRY.collect()
    }


def test_every_metric_is_documented_and_nothing_else() -> None:
    table = DOCS.read_text().partition("| metric | tells |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert documented == exported()
