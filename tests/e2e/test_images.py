import re
from pathlib import Path

import pytest

from e2e.images import IMAGES, ROOT

DOCKERFILES = sorted({image.dockerfile for image in IMAGES})


def steps(dockerfile: str) -> list[str]:
    return (ROOT / dockerfile).read_text().replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_nothing_is_installed_from_an_index_without_its_hash(dockerfile: str) -> None:
    for step in steps(dockerfile):
        if "pip install" in step:
            assert "--require-hashes" in step or re.search(r"--no-deps /tmp/wheels/\*\.whl", step), step


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_is_copied_is_there_and_not_ignored(dockerfile: str) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for step in steps(dockerfile):
        if step.startswith("COPY ") and "--from" not in step:
            for source in step.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert Path(source).parts[0] in allowed, source


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_programs_run_as_nobody_but_the_agent(dockerfile: str) -> None:
    users = [step.removeprefix("USER ") for step in steps(dockerfile) if step.startswith("USER ")]
    assert users[-1:] == ([] if dockerfile == "Dockerfile.agent" else ["65532:65532"])
