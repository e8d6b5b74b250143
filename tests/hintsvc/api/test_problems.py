"""Problem documents."""

import ast
import re
from pathlib import Path

import pytest

import tokenflow_hintsvc
from tokenflow_api.quota import Refusal
from tokenflow_hintsvc.problems import Problem, ProblemError

PACKAGE = Path(tokenflow_hintsvc.__path__[0])
DOCS = PACKAGE.parents[1] / "docs" / "hints.md"


def codes() -> set[str]:
    """Return the codes of all problems that the package makes."""
    calls = [
        node
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ProblemError"
    ]
    written = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "code"]
    # A refusal of /v1/admit has the code of its limit.
    return {str(value.value) for value in written if isinstance(value, ast.Constant)} | set(Refusal)


def test_a_problem_says_what_where_and_what_to_do() -> None:
    error = ProblemError(
        429, code="TooMany", detail="too many", remedy="wait", field="path", retry_after_s=3, allowed="GET"
    )
    assert Problem.model_validate_json(error.body(trace_id="a" * 32)).model_dump() == {
        "type": "about:blank",
        "title": "TooMany",
        "status": 429,
        "code": "TooMany",
        "detail": "too many",
        "remedy": "wait",
        "field": "path",
        "trace_id": "a" * 32,
    }
    assert error.headers() == {"Cache-Control": "no-store", "Retry-After": "3", "Allow": "GET"}


def test_a_caller_without_a_credential_is_challenged() -> None:
    error = ProblemError(401, code="NotAuthenticated", detail="no", remedy="do")
    assert error.headers()["WWW-Authenticate"] == "Bearer"


def test_every_code_is_documented_and_nothing_else() -> None:
    section = DOCS.read_text().partition("## Errors")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert sorted(documented) == sorted(codes())


@pytest.mark.parametrize("code", sorted(codes()))
def test_codes_are_words_for_programs(code: str) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+)+", code)
