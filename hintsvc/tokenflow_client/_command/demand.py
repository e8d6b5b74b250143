"""The requests that a load generator makes: when, as whom, and how long, all from one seed."""

import itertools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Draw = Callable[[random.Random], int]

MOST_REQUESTS: Final = 1_000_000
_LONGEST: Final = 1_000_000
"""Tokens of the longest prompt or answer that is asked for."""

_UNIFORM: Final = re.compile(r"(\d+)-(\d+)")
_LOG_NORMAL: Final = re.compile(r"lognormal:(\d+):(\d*\.?\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request of a run.

    Attributes:
        at_s: when it is to start, in seconds from the start of the run.
        tenant: which of the tenants makes it, from 0 on.
        prompt_tokens: about how long its prompt is.
        output_tokens: the most tokens of its answer.
        seed: by which its prompt is made up.
    """

    at_s: float
    tenant: int
    prompt_tokens: int
    output_tokens: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """How requests arrive, and how long they are.

    Attributes:
        rate: requests per second.
        duration_s: seconds in which they start.
        variation: coefficient of variation of the time between two: 1 is Poisson, more is bursty.
        tenants: number of tenants, of which each request is of one by chance.
        prompt: draws the length of a prompt.
        output: draws the length of an answer.
        seed: equal seeds make equal requests.
    """

    rate: float
    duration_s: float
    variation: float
    tenants: int
    prompt: Draw
    output: Draw
    seed: int

    def requests(self) -> list[Request]:
        """Return the requests, by time; the gaps between them are gamma distributed."""
        # Each figure has its own chance: another length of prompts must not move the arrivals.
        gap, tenant, prompt, output = (
            random.Random(f"{self.seed} {what}")  # noqa: S311 - load, not secrets
            for what in ("gap", "tenant", "prompt", "output")
        )
        shape = self.variation**-2
        gaps = (gap.gammavariate(shape, 1 / (shape * self.rate)) for _ in itertools.count())
        times = itertools.takewhile(lambda at_s: at_s < self.duration_s, itertools.accumulate(gaps))
        return [
            Request(
                at_s=at_s,
                tenant=tenant.randrange(self.tenants),
                prompt_tokens=self.prompt(prompt),
                output_tokens=self.output(output),
                seed=hash((self.seed, number)),
            )
            for number, at_s in enumerate(itertools.islice(times, MOST_REQUESTS))
        ]


def lengths(text: str) -> Draw:
    """Return what draws lengths as ``text`` says: ``256``, ``64-512`` (even) or ``lognormal:MEDIAN:SIGMA``.

    Raises:
        ValueError: it says something else.
    """
    if text.isdecimal():
        return _within(lambda _: int(text))
    if found := _UNIFORM.fullmatch(text):
        low, high = int(found[1]), int(found[2])
        if low <= high:
            return _within(lambda chance: chance.randint(low, high))
    if found := _LOG_NORMAL.fullmatch(text):
        median, sigma = int(found[1]), float(found[2])
        return _within(lambda chance: round(median * chance.lognormvariate(0.0, sigma)))
    raise ValueError(f"{text!r} says no length: write 256, 64-512 or lognormal:200:0.8 (median and sigma)")


def _within(draw: Draw) -> Draw:
    return lambda chance: min(_LONGEST, max(1, draw(chance)))


def prompt(request: Request) -> str:
    """Return a prompt of words, each about a token; no two begin alike, so that no cache knows them."""
    chance = random.Random(request.seed)  # noqa: S311 - load, not secrets
    return " ".join(chance.choices(_WORDS, k=request.prompt_tokens))


_WORDS: Final = (
    *("the", "a", "one", "some", "each", "and", "but", "or", "so", "then", "when", "where", "how", "why", "who"),
    *("river", "stone", "light", "house", "road", "winter", "garden", "paper", "engine", "letter", "window", "sea"),
    *("runs", "holds", "takes", "gives", "opens", "breaks", "carries", "turns", "waits", "falls", "grows", "sings"),
)
