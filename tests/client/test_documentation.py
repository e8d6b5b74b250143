"""Every example of docs/sdk.md runs as it is printed."""

import asyncio
import re
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.upstream import words
from tests.client.hint_service import FakeHintService, hint

PAGE: Final = Path(__file__).parents[2] / "docs" / "sdk.md"
EXAMPLES: Final = re.findall(r"^```python( async)?\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


async def told() -> AsyncIterator[str]:
    for word in words(8):
        yield word


def test_the_page_has_its_examples() -> None:
    assert len(EXAMPLES) == 6


@pytest.mark.parametrize(("kind", "code"), EXAMPLES)
async def test_an_example_prints_the_text(
    kind: str, code: str, hints: FakeHintService, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await hints.say(hint(200.0))
    names: dict[str, Any] = {"HINTS": hints.url, "KEY": "secret", "MODEL": model, "stream": told()}
    if kind:
        body = textwrap.indent(code, "    ")
        exec(compile(f"async def example():\n{body}", str(PAGE), "exec"), names)  # noqa: S102 - the page's own code
        await names["example"]()
    else:
        await asyncio.to_thread(exec, compile(code, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert " packet" in printed
    assert " went" in printed
