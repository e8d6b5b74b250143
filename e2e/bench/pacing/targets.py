"""What pacing is to reach, and whether the runs show it."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from e2e.bench.figures import Estimate, Figure, bootstrap, mean, ratio_of_means
from e2e.bench.pacing import capacity, clean, fairness
from e2e.bench.pacing.arms import PACED, PASS_THROUGH
from e2e.bench.pacing.chaos import End
from e2e.bench.pacing.results import READING, Results
from e2e.bench.pacing.scenarios import SCENARIOS

MAX_STALL_RATIO: Final = 0.3
MAX_AGE_RATIO: Final = 0.5
LEAST_THROUGHPUT: Final = 1.0
MAX_BYTES_RATIO: Final = 0.3
MAX_TTFT_P50_MS: Final = 1.0
MAX_TTFT_P99_MS: Final = 5.0
LEAST_CLEAN_THROUGHPUT: Final = 0.99
MAX_CORE_SHARE: Final = 0.5
MAX_OF_LITELLM: Final = 0.5
LEAST_JAIN: Final = 0.95
MAX_OFF_WEIGHT: Final = 0.05
_ROUNDING: Final = 0.005
_LITELLM: Final = "LiteLLM"


def targets(parts: Mapping[str, Results]) -> Iterator[Figure]:
    """Yield a figure for each target that the runs of these parts, by name, can tell of."""
    if "links" in parts:
        yield from _over_links(parts["links"])
    if "clean" in parts:
        yield from _on_clean_link(parts["clean"])
    if "capacity" in parts:
        yield from _at_capacity(parts["capacity"])
    if "fairness" in parts:
        yield from _shared(parts["fairness"])
    if "chaos" in parts:
        yield from _under_chaos(parts["chaos"])


def _over_links(results: Results) -> Iterator[Figure]:
    hard = [scenario.name for scenario in SCENARIOS if scenario.hard and scenario.name in results.scenarios()]
    if not hard:
        return
    how = f"batch + rate against pass-through, {len(hard)} links that are thin, lossy or shared: {', '.join(hard)}"
    goals = (
        ("Stall ratio", "stall_ratio", MAX_STALL_RATIO, f"{how}; somebody reads {READING:g} tokens/s"),
        ("Token age, 99th percentile", "age_p99", MAX_AGE_RATIO, f"{how}; mean of the runs"),
        ("Bytes on the wire per token", "wire_per_token", MAX_BYTES_RATIO, f"{how}; with IP and TCP headers"),
    )
    for name, figure, most, words in goals:
        ratio = _ratio(results, hard, figure)
        if ratio:
            yield _below(f"{name}, ratio to pass-through", ratio, most, words)
    throughput = _ratio(results, hard, "throughput")
    if throughput:
        yield Figure(
            name="Effective throughput, ratio to pass-through",
            value=str(throughput),
            goal=f">= {LEAST_THROUGHPUT:g}",
            met=throughput.value >= LEAST_THROUGHPUT - _ROUNDING,
            how=f"{how}; tokens that a reader of {READING:g} tokens/s has come to",
        )
    clear = [scenario.name for scenario in SCENARIOS if scenario.name == "clear"]
    throughput = _ratio(results, clear, "throughput")
    if throughput:
        yield Figure(
            name="Effective throughput on the clear link, ratio to pass-through",
            value=str(throughput),
            goal=f">= {LEAST_CLEAN_THROUGHPUT:g}",
            met=throughput.value >= LEAST_CLEAN_THROUGHPUT,
        )


def _ratio(results: Results, scenarios: Sequence[str], figure: str) -> Estimate | None:
    """Return the ratio of ours to pass-through over all runs of some scenarios, paired by run."""
    measured, against = (
        [value for scenario in scenarios for value in results.values(scenario, arm, figure)]
        for arm in (PACED.name, PASS_THROUGH.name)
    )
    return ratio_of_means(measured, against) if len(measured) == len(against) and measured else None


def _on_clean_link(results: Results) -> Iterator[Figure]:
    how = "batch + rate against the engine itself, in the same round"
    for share, most in (("p50", MAX_TTFT_P50_MS), ("p99", MAX_TTFT_P99_MS)):
        added = mean([1000 * value for value in _added(results, PACED.name, f"ttft_{share}")])
        yield Figure(
            name=f"Added time to the first token, {share}",
            value=f"{added} ms",
            goal=f"<= {most:g} ms",
            met=added.value <= most,
            how=how,
        )
    throughput = ratio_of_means(
        results.values(clean.SCENARIO, PACED.name, "throughput"),
        results.values(clean.SCENARIO, clean.DIRECT, "throughput"),
    )
    if throughput:
        yield Figure(
            name="Throughput on a clean link, ratio to the engine itself",
            value=str(throughput),
            goal=f">= {LEAST_CLEAN_THROUGHPUT:g}",
            met=throughput.value >= LEAST_CLEAN_THROUGHPUT,
            how=how,
        )
    if _LITELLM not in results.arms(clean.SCENARIO):
        return
    pairs = list(zip(_added(results, PACED.name, "ttft_p50"), _added(results, _LITELLM, "ttft_p50"), strict=True))
    overhead = bootstrap(pairs, _ratio_of_medians)
    yield _below("Overhead per request, ratio to LiteLLM's", overhead, MAX_OF_LITELLM, f"added p50, {how}")
    processor = "processor_ms_per_1000_tokens"
    cost = ratio_of_means(
        results.values(clean.SCENARIO, PACED.name, processor), results.values(clean.SCENARIO, _LITELLM, processor)
    )
    if cost:
        yield _below("Processor time, ratio to LiteLLM's", cost, MAX_OF_LITELLM, "the same streams, on one core each")


def _added(results: Results, arm: str, figure: str) -> list[float]:
    """Return what an arm adds to a time of the engine itself, by round."""
    direct = results.values(clean.SCENARIO, clean.DIRECT, figure)
    return [one - other for one, other in zip(results.values(clean.SCENARIO, arm, figure), direct, strict=True)]


def _ratio_of_medians(pairs: Sequence[tuple[float, float]]) -> float:
    return statistics.median(ours for ours, _ in pairs) / statistics.median(theirs for _, theirs in pairs)


def _at_capacity(results: Results) -> Iterator[Figure]:
    for scenario in results.scenarios():
        share = mean(results.values(scenario, PACED.name, "core_share"))
        tokens = mean(results.values(scenario, PACED.name, "tokens_per_second"))
        yield Figure(
            name=f"Processor time of {scenario} at {capacity.PER_SECOND} tokens/s each",
            value=f"{share} of a core",
            goal=f"< {MAX_CORE_SHARE:g}",
            met=share.value < MAX_CORE_SHARE,
            how=f"all on one core; {tokens.value:,.0f} tokens/s were delivered",
        )


def _shared(results: Results) -> Iterator[Figure]:
    index = mean(results.values(fairness.EQUAL, PACED.name, "jain"))
    yield Figure(
        name="Fairness of equal tenants on a thin link (Jain)",
        value=str(index),
        goal=f">= {LEAST_JAIN:g}",
        met=index.value >= LEAST_JAIN,
        how="3 tenants, 4 streams each, 48 kbit/s",
    )
    off = mean(results.values(fairness.WEIGHTED, PACED.name, "off_weight"))
    yield _below(
        "Worst tenant's distance from its weight", off, MAX_OFF_WEIGHT, "3 tenants that weigh 4, 2 and 1; mean of runs"
    )


def _under_chaos(results: Results) -> Iterator[Figure]:
    for run in results.runs:
        ends = dict(run.figures["ends"])
        whole, unexplained = ends.pop(End.WHOLE, 0), ends.get(End.UNEXPLAINED, 0)
        codes = ", ".join(f"{count} {code}" for code, count in run.figures.get("codes", {}).items())
        broken = "; ".join(f"{count} {end}" for end, count in ends.items()) or "none broke"
        yield Figure(
            name=f"Chaos: {run.scenario}",
            value=f"{whole} of {run.figures['streams']} streams whole; {broken}",
            goal="0 unexplained",
            met=not unexplained,
            how="three gateways, readers that ask them in turn and do not try again"
            + (f"; they were told {codes}" if codes else ""),
        )


def _below(name: str, estimate: Estimate, most: float, how: str) -> Figure:
    return Figure(name=name, value=str(estimate), goal=f"<= {most:g}", met=estimate.value <= most, how=how)
