"""When an engine has the tokens of an answer: by distributions with a seed, or as a recording has it."""

import csv
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


class TimingsError(Exception):
    """A recording cannot be read; the message says which line and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """Distributions of the times of one engine.

    The time to the first token is lognormal: most wait little, and some long behind others' prompts. Gaps between
    tokens are lognormal too, about the time of one decoding step; now and then a step is held up by the prompt of
    somebody else.

    Attributes:
        first_token_s: median time to the first token.
        first_token_sigma: standard deviation of its logarithm.
        tokens_per_second: median rate of the tokens after it.
        gap_sigma: standard deviation of the logarithm of a gap.
        pause_percent: chance that a step is held up.
        pause_s: how long.
    """

    first_token_s: float = 0.2
    first_token_sigma: float = 0.5
    tokens_per_second: float = 40.0
    gap_sigma: float = 0.25
    pause_percent: float = 1.0
    pause_s: float = 0.12

    def gaps(self, seed: int) -> Iterator[float]:
        """Yield the seconds before each token, the first one's from the request: the same ones for the same seed."""
        chance = random.Random(seed)  # noqa: S311 - a load, not a secret
        yield chance.lognormvariate(math.log(self.first_token_s), self.first_token_sigma)
        if not self.gap_sigma and not self.pause_percent:
            yield from itertools.repeat(1 / self.tokens_per_second)
        gap = -math.log(self.tokens_per_second)
        while True:
            pause = self.pause_s if chance.random() * 100 < self.pause_percent else 0.0
            yield chance.lognormvariate(gap, self.gap_sigma) + pause


@dataclass(frozen=True, slots=True)
class Recorded:
    """Times that were recorded of a real engine.

    Attributes:
        answers: for each answer the seconds before each of its tokens.
    """

    answers: Sequence[Sequence[float]]

    def gaps(self, seed: int) -> Iterator[float]:
        """Yield the times of one of the answers; where it is too short, those after its first token again and again."""
        answer = self.answers[seed % len(self.answers)]
        yield answer[0]
        yield from itertools.cycle(answer[1:] or answer)


def recorded(file: Path) -> Recorded:
    """Read a recording: CSV without a head, a row for each answer, in it the seconds before each token.

    Raises:
        TimingsError: the file holds none.
    """
    try:
        with file.open(newline="") as lines:
            answers = [tuple(float(value) for value in row) for row in csv.reader(lines) if row]
    except (OSError, ValueError) as error:
        raise TimingsError(f"{file}: {error} (each row holds the seconds before each token of an answer)") from error
    if not answers or any(gap < 0 for answer in answers for gap in answer):
        raise TimingsError(f"{file}: there must be a row, and no time below 0")
    return Recorded(answers)
