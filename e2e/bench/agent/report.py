"""The figures as a page and as JSON, with the machine that they were measured on."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from e2e.bench.agent.figures import Figure

_WORDS: Final = {True: "met", False: "**not met**", None: ""}
_HEAD: Final = """# The node agent, measured

`make bench-agent` wrote this page. It measures a real agent process; the loads run beside it in a network namespace
of their own, whose kernel counters are the truth that the agent's figures are compared with.
"""


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


def as_json(figures: Sequence[Figure]) -> str:
    """Return everything as JSON."""
    document = {"machine": asdict(machine()), "figures": [asdict(figure) for figure in figures]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_markdown(figures: Sequence[Figure]) -> str:
    """Return everything as a page."""
    here = machine()
    rows = [
        f"| {figure.name} | {figure.value} | {figure.goal} | {_WORDS[figure.met]} | {figure.how} |"
        for figure in figures
    ]
    table = "\n".join(["| what | measured | goal | | how |", "|---|---|---|---|---|", *rows])
    where = (
        f"Measured on {here.at}: {here.processor}, {here.cores} cores, {here.memory_gib} GiB, Linux {here.kernel},"
        f" Python {here.python}."
    )
    return f"{_HEAD}\n{where}\n\n{table}\n"
