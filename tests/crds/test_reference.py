"""The reference says of every field what the API server checks."""

import pytest

from tokenflow_api import crdgen, reference


def rows(section: str) -> dict[str, list[str]]:
    text = reference.document().split(f"\n### {section}\n", maxsplit=1)[1].split("\n### ", maxsplit=1)[0]
    lines = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_the_committed_page_is_up_to_date() -> None:
    assert crdgen.stale({reference.FILE: reference.document()}) == []


@pytest.mark.parametrize("resource", crdgen.RESOURCES, ids=lambda resource: resource.kind)
def test_every_field_has_a_description(resource: crdgen.Resource) -> None:
    def bare(schema: crdgen.Schema, path: str) -> list[str]:
        inner = {f"{path}.{name}": field for name, field in schema.get("properties", {}).items()}
        inner |= {f"{path}[]": schema["items"]} if "properties" in schema.get("items", {}) else {}
        own = [name for name, field in inner.items() if not field.get("description")]
        return own + [name for where, field in inner.items() for name in bare(field, where)]

    schema = crdgen.structural(resource.model)
    assert [name for part in ("spec", "status") for name in bare(schema["properties"][part], part)] == []


def test_a_bound_a_default_and_an_enum_are_told() -> None:
    assert rows("PacingPolicy `spec.pacing`")["`maxBatchSize`"] == [
        "integer",
        "`16`",
        "1 to 256",
        "Most tokens in one event.",
    ]
    assert rows("PacingPolicy `spec`")["`mode`"][:3] == ["string", '`"Enforce"`', "`Enforce`, `Shadow`, `Off`"]
    assert rows("PacingPolicy `spec.telemetry`")["`staleAfter`"][:2] == ["duration", '`"5s"`']


def test_what_must_be_given_stands_out() -> None:
    assert rows("PacingPolicy `spec`")["**`tenants`**"][0] == "list of [objects](#pacingpolicy-spectenants), by name"


def test_rules_between_fields_are_told() -> None:
    assert "\n- minTokensPerSecond must not be above maxTokensPerSecond: lower the first" in reference.document()
