"""``python -m e2e.bench.pacing.report``: makes docs/benchmarks.md and a report with plots from the files of the runs.

The report is one file that loads nothing. Every figure in both comes from the runs.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from e2e.bench.figures import Figure, mean, ratio_of_means
from e2e.bench.pacing import clean
from e2e.bench.pacing.arms import PASS_THROUGH
from e2e.bench.pacing.plots import bars, lines
from e2e.bench.pacing.results import TIMELINE_S, Results
from e2e.bench.pacing.scenarios import SCENARIOS
from e2e.bench.pacing.targets import targets

PARTS: Final = ("links", "clean", "capacity", "fairness", "chaos")
_VERDICTS: Final = {True: "met", False: "**missed**", None: ""}
_HEAD: Final = """# Benchmarks

How fast the parts are by themselves: [the node agent](benchmarks/agent.md), [the hint service](benchmarks/hintsvc.md)
and [the operator](benchmarks/operator.md). This page is about what readers get: `make bench` measures it and writes
this page and [a report with plots](benchmarks/pacing.html) from [the files of the runs](benchmarks/pacing/), a line
for each run. It needs root and `apt-get install nginx haproxy redis-server`, and takes about 45 minutes on four cores.
A run that was cut off goes on where it was; `ARGS=--fresh` begins anew, `ARGS="--only links"` measures one part.
"""
_METHOD: Final = """
## How it is measured

- **Links** are emulated by a process between two network namespaces (`e2e/link`), which holds packets back, drops them
  and queues them before a bottleneck; `python -m e2e.link.verify` measures the emulator itself. Rates that change are
  made up by a random walk; `--trace` takes a recording as CSV or in mahimahi's form.
- **The engine** (`e2e/upstream/replay.py`) sends tokens at times from distributions with a seed, or from a recording.
  Lengths are lognormal with the median (129) and mean (211) of the conversations in the Azure LLM inference trace of
  2023 (Splitwise, ISCA 2024); arrivals are Poisson, or gamma as BurstGPT (arXiv 2401.17644) has them. Times to the
  first token and between tokens are made up: lognormal, with pauses. Each token tells when it was generated, on the
  same clock that readers use. `--upstream URL` takes a real endpoint instead.
- **Arms** are our gateway by different policies, each with a hint service and a Redis: pass-through (mode Off), a fixed
  rate of 20 tokens/s, batches alone, batches and rate, and both with a learned forecast. nginx passes the same streams
  beside them. In one run all arms meet the same requests, the same tokens and the same link at once; what is
  compared is the ratio within runs.
- **Measures**: somebody reads 10 tokens/s. *Stalled* is the share of the reading time in which they wait. *Quality* is
  that of Andes (arXiv 2404.16283). *On time* are tokens that are there when due; *goodput* is the share of streams
  whose first token came within 1 s and 95 % of whose tokens were on time. *Throughput* counts tokens when the reader
  comes to them. *Age* is from generation to arrival. What had not arrived when a run ended counts as arriving then.
  Bytes on the wire are those of IP packets that the gateway sent, retransmissions with them.
- **On the clean link and at capacity** each contender has a core to itself, and engine and readers have others. nginx
  and HAProxy pass bytes; LiteLLM runs one worker without a database, and has less than half of its core to do.
- **Chaos**: three gateways under a thousand streams; one part after the other is killed by `kill -9` and comes back 3 s
  later. Readers are given the list of the gateways, ask them in turn and do not try again. A broken stream is
  explained by what was killed and what the reader was told; anything else is *unexplained*.
- Intervals are of 95 %, by the bootstrap over runs.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A figure in a table: its name in the runs, its head, its scale and its digits."""

    figure: str
    head: str
    scale: float = 1.0
    digits: int = 2


_LINK_COLUMNS: Final = (
    Column(figure="ttft_p50", head="first token p50 [s]"),
    Column(figure="ttft_p99", head="p99 [s]"),
    Column(figure="gap_p50", head="gap p50 [ms]", scale=1000, digits=0),
    Column(figure="gap_p99", head="gap p99 [ms]", scale=1000, digits=0),
    Column(figure="stall_ratio", head="stalled [%]", scale=100, digits=1),
    Column(figure="stalled", head="stalled [s]", digits=1),
    Column(figure="quality", head="quality"),
    Column(figure="on_time", head="on time [%]", scale=100, digits=1),
    Column(figure="goodput", head="goodput [%]", scale=100, digits=0),
    Column(figure="throughput", head="throughput [1/s]", digits=1),
    Column(figure="age_p50", head="age p50 [s]"),
    Column(figure="age_p99", head="age p99 [s]"),
    Column(figure="wire_per_token", head="wire [B/token]", digits=0),
    Column(figure="retransmitted", head="sent again [%]", scale=100, digits=1),
    Column(figure="processor_ms_per_1000_tokens", head="CPU [ms/1,000]", digits=0),
)
_COMPARED: Final = (
    ("stall_ratio", "stall ratio"),
    ("age_p99", "age p99"),
    ("throughput", "throughput"),
    ("wire_per_token", "bytes per token"),
    ("quality", "quality"),
)
"""Figures whose ratios to pass-through are told for each link."""
_CLEAN_COLUMNS: Final = (
    Column(figure="ttft_p50", head="first token p50 [ms]", scale=1000),
    Column(figure="ttft_p99", head="p99 [ms]", scale=1000),
    Column(figure="gap_p99", head="gap p99 [ms]", scale=1000, digits=1),
    Column(figure="throughput", head="throughput [1/s]", digits=1),
    Column(figure="processor_ms_per_1000_tokens", head="CPU [ms/1,000 tokens]", digits=0),
)
_CAPACITY_COLUMNS: Final = (
    Column(figure="core_share", head="of a core [%]", scale=100, digits=1),
    Column(figure="tokens_per_second", head="tokens/s", digits=0),
    Column(figure="gap_p99", head="gap p99 [ms]", scale=1000, digits=0),
    Column(figure="age_p99", head="age p99 [ms]", scale=1000, digits=1),
    Column(figure="memory_mb", head="memory [MB]", digits=0),
)
_FAIR_COLUMNS: Final = (
    Column(figure="jain", head="Jain's index, by weight", digits=3),
    Column(figure="off_weight", head="worst from its weight [%]", scale=100, digits=1),
    Column(figure="stall_ratio", head="stalled [%]", scale=100, digits=1),
)
_COLUMNS: Final = {
    "links": _LINK_COLUMNS,
    "clean": _CLEAN_COLUMNS,
    "capacity": _CAPACITY_COLUMNS,
    "fairness": _FAIR_COLUMNS,
}
_TITLES: Final = {
    "links": "Over links",
    "clean": "On a clean link, against other proxies",
    "capacity": "Two thousand streams",
    "fairness": "Tenants that share a thin link",
}


def markdown(parts: Mapping[str, Results]) -> str:
    """Return the page of these parts, by name."""
    sections = [_HEAD, *_machines(parts), "", "## What was to be reached", "", *_target_table(list(targets(parts)))]
    if "links" in parts:
        sections += ["", "## Against pass-through, link by link", "", *_ratios(parts["links"])]
    for part in _COLUMNS:
        if part in parts:
            sections += ["", f"## {_TITLES[part]}", *_tables(part, parts[part])]
    return "\n".join([*sections, _METHOD])


def html(parts: Mapping[str, Results]) -> str:
    """Return the report of these parts, by name."""
    rows = "".join(
        f'<tr class="{_css(figure)}"><td>{escape(figure.name)}</td><td>{escape(figure.value)}</td>'
        f"<td>{escape(figure.goal)}</td><td>{_VERDICTS[figure.met].strip('*')}</td><td>{escape(figure.how)}</td></tr>"
        for figure in targets(parts)
    )
    plots = "".join(f"<figure>{plot}</figure>" for plot in _plots(parts))
    machines = "".join(f"<p>{escape(words)}</p>" for words in _machines(parts))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>TokenFlow: pacing, measured</title><style>'
        "body{font:14px system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}"
        "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.25em .5em;text-align:left}"
        ".met td:nth-child(4){background:#d5f0e0}.missed td:nth-child(4){background:#f7d6d6}"
        "figure{display:inline-block;margin:1em 1em 0 0}svg text{font-family:system-ui,sans-serif}"
        f"</style></head><body><h1>Pacing, measured</h1>{machines}<h2>What was to be reached</h2><table>"
        f"<tr><th>what</th><th>measured</th><th>goal</th><th></th><th>how</th></tr>{rows}</table>"
        f"<h2>Plots</h2><p>Whiskers are confidence intervals of 95 %; hold the pointer over a bar for its value.</p>"
        f"{plots}</body></html>\n"
    )


def _css(figure: Figure) -> str:
    return {True: "met", False: "missed", None: ""}[figure.met]


def _machines(parts: Mapping[str, Results]) -> Iterator[str]:
    for part, results in parts.items():
        here = results.machine
        if here is None:
            continue
        programs = ", ".join(f"{name} {version}" for name, version in results.versions.items())
        yield (
            f"Part {part}: {len(results.runs)} runs from {here.at} on, {here.processor}, {here.cores} cores,"
            f" {here.memory_gib} GiB, Linux {here.kernel}, Python {here.python}, {programs}."
        )


def _target_table(figures: Sequence[Figure]) -> Iterator[str]:
    yield "| what | measured | goal | | how |"
    yield "|---|---|---|---|---|"
    for figure in figures:
        yield f"| {figure.name} | {figure.value} | {figure.goal} | {_VERDICTS[figure.met]} | {figure.how} |"


def _ratios(results: Results) -> Iterator[str]:
    yield "| | | " + " | ".join(head for _, head in _COMPARED) + " |"
    yield "|---|---|" + "---:|" * len(_COMPARED)
    for scenario in results.scenarios():
        for arm in results.arms(scenario):
            if arm != PASS_THROUGH.name:
                cells = (_ratio(results, scenario, arm, figure) for figure, _ in _COMPARED)
                yield f"| {scenario} | {arm} | " + " | ".join(cells) + " |"


def _ratio(results: Results, scenario: str, arm: str, figure: str) -> str:
    values, against = (results.values(scenario, one, figure) for one in (arm, PASS_THROUGH.name))
    found = ratio_of_means(values, against) if len(values) == len(against) else None
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})" if found else "-"


def _tables(part: str, results: Results) -> Iterator[str]:
    columns = _COLUMNS[part]
    words = {scenario.name: scenario.words for scenario in SCENARIOS}
    for scenario in results.scenarios():
        yield ""
        yield f"**{scenario}**" + (f": {words[scenario]}" if part == "links" and scenario in words else "")
        yield ""
        yield "| | " + " | ".join(column.head for column in columns) + " |"
        yield "|---|" + "---:|" * len(columns)
        for arm in results.arms(scenario):
            cells = (_cell(results.values(scenario, arm, column.figure), column) for column in columns)
            yield f"| {arm} | " + " | ".join(cells) + " |"


def _cell(values: Sequence[float], column: Column) -> str:
    if not values:
        return "-"
    found = mean([column.scale * value for value in values])
    spread = max(found.high - found.value, found.value - found.low)
    return f"{found.value:.{column.digits}f} ± {spread:.{column.digits}f}"


def _plots(parts: Mapping[str, Results]) -> Iterator[str]:
    if "links" in parts:
        results = parts["links"]
        yield _bars(results, "stall_ratio", "Share of the reading time that was waiting", "%", scale=100)
        yield _bars(results, "age_p99", "Token age, 99th percentile", "s")
        yield _bars(results, "wire_per_token", "Bytes on the wire per token", "B")
        yield _bars(results, "quality", "Quality of experience (Andes)", "1 is best")
        yield _bars(results, "throughput", "Effective throughput", "tokens/s")
        for scenario in results.scenarios():
            first = min(run.seed for run in results.runs if run.scenario == scenario)
            curves = {
                run.arm: run.figures["timeline"]
                for run in results.runs
                if (run.scenario, run.seed) == (scenario, first)
            }
            yield lines(f"{scenario}: tokens that had arrived, seed {first}", "tokens", curves, step_s=TIMELINE_S)
    if "clean" in parts:
        yield _bars(parts["clean"], "ttft_p50", "Time to the first token, p50", "ms", scale=1000)
        yield _bars(parts["clean"], "ttft_p99", "Time to the first token, p99", "ms", scale=1000)
        processor = "processor_ms_per_1000_tokens"
        yield _bars(parts["clean"], processor, "Processor time per 1,000 tokens", "ms", leave_out=(clean.DIRECT,))
    if "capacity" in parts:
        yield _bars(parts["capacity"], "core_share", "Share of a core", "%", scale=100)
    if "fairness" in parts:
        yield _bars(parts["fairness"], "jain", "Jain's index of tokens by weight", "1 is best")


def _bars(
    results: Results, figure: str, title: str, unit: str, *, scale: float = 1.0, leave_out: Sequence[str] = ()
) -> str:
    groups = {
        scenario: {
            arm: mean([scale * value for value in values])
            for arm in results.arms(scenario)
            if arm not in leave_out and (values := results.values(scenario, arm, figure))
        }
        for scenario in results.scenarios()
    }
    return bars(title, unit, groups)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.pacing.report", description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--markdown", type=Path, help="file for the page")
    parser.add_argument("--html", type=Path, help="file for the report")
    arguments = parser.parse_args()
    files = {part: arguments.results / f"{part}.jsonl" for part in PARTS}
    parts = {part: Results(file) for part, file in files.items() if file.exists()}
    parts = {part: results for part, results in parts.items() if results.runs}
    if not parts:
        print(f"e2e.bench.pacing.report: no runs in {arguments.results}: measure first", file=sys.stderr)
        return 1
    if arguments.markdown:
        arguments.markdown.write_text(markdown(parts))
    if arguments.html:
        arguments.html.write_text(html(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
