"""Reasons, the runbook and the words of problems are held together."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operator.running import ROOT
from tokenflow_operator import plan
from tokenflow_operator.plan.reasons import Reason

RUNBOOK = ROOT / "docs" / "operations.md"
MODULES = sorted(Path(plan.__path__[0]).rglob("*.py"))

# A remedy begins with one of these, after a colon.
REMEDIES = (
    *("add", "apply", "ask", "change", "check", "choose", "correct", "create", "delete", "give", "install", "let"),
    *("look", "lower", "make", "mend", "move", "name", "put", "raise", "remove", "rename", "renew", "replace", "run"),
    *("see", "set", "undo", "upgrade", "wait", "widen", "write"),
)
REMEDY = re.compile(rf"[:;,.] (?:{'|'.join(REMEDIES)})\b")


def rows() -> list[list[str]]:
    section = RUNBOOK.read_text().split("## What a condition means", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_reason_has_one_row_in_the_runbook() -> None:
    told = [reason for row in rows() for reason in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(told) == sorted(Reason)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_row_says_what_lies_behind_and_what_to_do(row: list[str]) -> None:
    assert len(row) == 3
    assert all(row)


def problems() -> Iterator[tuple[str, str, str]]:
    """Yield where a problem is made, its severity, and the constant words of its message."""
    for module in MODULES:
        for function in ast.walk(ast.parse(module.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Problem":
                    given = {keyword.arg: keyword.value for keyword in call.keywords}
                    severity = given["severity"]
                    words = _words(given["message"], function, before=call.lineno)
                    if isinstance(severity, ast.Attribute) and words:
                        yield f"{module.stem}:{ast.unparse(given['reason'])}", severity.attr, words


def _words(message: ast.expr, function: ast.FunctionDef, *, before: int) -> str:
    """Return the constant parts of a message, and that a remedy was given to the function that puts it together."""
    if isinstance(message, ast.Name):
        assigned = [
            node
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and node.lineno < before and ast.unparse(node.targets[0]) == message.id
        ]
        if not assigned:
            return ""
        message = max(assigned, key=lambda node: node.lineno).value
    parts = (node for node in ast.walk(message) if isinstance(node, ast.Constant | ast.Name))
    return "".join(
        f": see {part.id}" if isinstance(part, ast.Name) and part.id == "remedy" else _text(part) for part in parts
    )


def _text(part: ast.Constant | ast.Name) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else ""


FOUND = list(problems())


def test_the_search_finds_problems() -> None:
    assert len(FOUND) > 10


@pytest.mark.parametrize(("where", "severity", "words"), FOUND, ids=[where for where, _, _ in FOUND])
def test_a_problem_that_waiting_does_not_cure_says_what_to_do(where: str, severity: str, words: str) -> None:
    assert severity == "PROGRESSING" or REMEDY.search(words), where
