"""The figures as a page and as JSON, with the machine that they were measured on."""

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from e2e.bench.figures import Figure

_WORDS: Final = {True: "met", False: "**not met**", None: ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What was measured on."""

    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    at: str


def machine() -> Machine:
    """Describe this machine."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return Machine(
        processor=models[0].partition(":")[2].strip() if models else platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def tell(figure: Figure) -> None:
    """Print a figure as soon as it is known."""
    verdict = {True: "met", False: "NOT MET", None: ""}[figure.met]
    print(f"{figure.name}: {figure.value} {figure.goal} {verdict}\n    {figure.how}", flush=True)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the options of what a benchmark writes."""
    parser.add_argument("--json", type=Path, help="file for the figures as JSON")
    parser.add_argument("--markdown", type=Path, help="file for the figures as a Markdown page")


def publish(
    figures: Sequence[Figure], outputs: argparse.Namespace, *, head: str, versions: Mapping[str, str] | None = None
) -> int:
    """Write what the options of ``add_outputs`` ask for, and return the exit code: 1 where a goal is not met.

    Args:
        figures: what was measured.
        outputs: the command line.
        head: title and introduction of the page, in Markdown.
        versions: of the programs that took part, by name.
    """
    if outputs.json:
        outputs.json.write_text(as_json(figures, versions=versions))
    if outputs.markdown:
        outputs.markdown.write_text(as_markdown(figures, head=head, versions=versions))
    return 1 if any(figure.met is False for figure in figures) else 0


def as_json(figures: Sequence[Figure], *, versions: Mapping[str, str] | None = None) -> str:
    """Return everything as JSON.

    Args:
        figures: what was measured.
        versions: of the programs that took part, by name.
    """
    document = {
        "machine": asdict(machine()),
        "versions": dict(versions or {}),
        "figures": [asdict(figure) for figure in figures],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_markdown(figures: Sequence[Figure], *, head: str, versions: Mapping[str, str] | None = None) -> str:
    """Return everything as a page.

    Args:
        figures: what was measured.
        head: title and introduction, in Markdown.
        versions: of the programs that took part, by name.
    """
    here = machine()
    rows = [
        f"| {figure.name} | {figure.value} | {figure.goal} | {_WORDS[figure.met]} | {figure.how} |"
        for figure in figures
    ]
    table = "\n".join(["| what | measured | goal | | how |", "|---|---|---|---|---|", *rows])
    programs = "".join(f", {name} {version}" for name, version in (versions or {}).items())
    where = (
        f"Measured on {here.at}: {here.processor}, {here.cores} cores, {here.memory_gib} GiB, Linux {here.kernel},"
        f" Python {here.python}{programs}."
    )
    return f"{head}\n{where}\n\n{table}\n"
