"""How the rate of a link went over time: read from a recording, or made up by a random walk."""

import csv
import math
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Final

_PACKET_KBIT: Final = 1500 * 8 / 1000
_ROUNDING: Final = 1e-9


class TraceError(Exception):
    """A recording cannot be read; the message says which line and why."""


def recorded(file: Path, *, step_s: float = 1.0) -> tuple[float, ...]:
    """Return the rates of a recording, in kbit/s, one for each ``step_s``.

    Two forms are known. A ``.csv`` file has the columns ``seconds`` and ``kbit``: from then on the rate holds, the
    last one for one step. Any other file is in the form of mahimahi (https://github.com/ravinet/mahimahi): each line
    is a time in milliseconds at which one packet of 1,500 bytes can pass.

    Raises:
        TraceError: the file is in neither form.
    """
    try:
        return _csv(file, step_s) if file.suffix == ".csv" else _mahimahi(file, step_s)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TraceError(f"{file}: {error} (columns seconds,kbit or one time in ms a line are read)") from error


def _csv(file: Path, step_s: float) -> tuple[float, ...]:
    with file.open(newline="") as lines:
        points = [(float(row["seconds"]), float(row["kbit"])) for row in csv.DictReader(lines)]
    if not points or points[0][0] != 0 or any(one[0] >= other[0] for one, other in pairwise(points)):
        raise ValueError("seconds must begin at 0 and rise")
    steps = range(round(points[-1][0] / step_s) + 1)
    return tuple([kbit for at, kbit in points if at <= step * step_s + _ROUNDING][-1] for step in steps)


def _mahimahi(file: Path, step_s: float) -> tuple[float, ...]:
    passing = [int(line) for line in file.read_text().split()]
    if not passing:
        raise ValueError("it is empty")
    packets = Counter(int(at / (step_s * 1000)) for at in passing)
    return tuple(packets[step] * _PACKET_KBIT / step_s for step in range(max(packets) + 1))


def cellular(
    seed: int, *, steps: int, median_kbit: float, least_kbit: float, most_kbit: float, sigma: float = 0.5
) -> tuple[float, ...]:
    """Return made-up rates like those of a moving phone: a random walk of the logarithm, drawn back to the median."""
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    away = 0.0
    rates = []
    for _ in range(steps):
        away = 0.8 * away + chance.gauss(0, sigma)
        rates.append(min(most_kbit, max(least_kbit, median_kbit * math.exp(away))))
    return tuple(rates)
