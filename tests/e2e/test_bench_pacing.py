"""The parts of the pacing benchmark that judge: what a run was like, what broke a stream, and the page of it all."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from e2e.bench.errors import BenchError
from e2e.bench.figures import Estimate, bootstrap, mean, ratio_of_means
from e2e.bench.pacing import report
from e2e.bench.pacing.chaos import GATEWAY, NOTHING, UPSTREAM, End, Fault, Outage, code, explain
from e2e.bench.pacing.fairness import off_weight
from e2e.bench.pacing.plots import bars, lines
from e2e.bench.pacing.reader import Stream
from e2e.bench.pacing.results import Results, Run, check_admitted, measured, timeline
from e2e.bench.pacing.scenarios import SCENARIOS
from e2e.bench.pacing.targets import targets
from e2e.bench.pacing.workload import Arrivals, Ask, steady

RECORDED = Path(__file__).parent / "data" / "pacing"
AWAY = Outage(since_s=6.0, until_s=9.0)


def stream(*, tokens: int = 4, arrived: int = 4, server: int = 0, **noted: Any) -> Stream:
    """A stream whose tokens come each 100 ms from 1 s on, each half a second old."""
    made = Stream(
        ask=Ask(at_s=0.5, tokens=tokens, seed=1, tenant="gold"),
        server=server,
        asked_s=0.5,
        status=200,
        arrivals=[(1.0 + number / 10, 1, 200) for number in range(arrived)],
        ages_s=[0.5] * arrived,
        done=tokens == arrived,
        ended_s=2.0,
        told="whole",
    )
    return replace(made, **noted)


def test_a_stream_as_promised_has_no_stalls() -> None:
    met = measured([stream()], until_s=5.0)
    assert (met.streams, met.whole, met.tokens, met.shares) == (1, 1, 4, {"gold": 4})
    assert met.stalled == pytest.approx(0)
    assert (met.quality, met.on_time, met.goodput) == (1.0, 1.0, 1.0)
    assert (met.ttft_p50, met.gap_p50, met.age_p99) == pytest.approx((0.5, 0.1, 0.5))
    assert met.body_per_token == 200
    assert met.throughput == 4 / 5


def test_what_had_not_arrived_counts_until_the_end_of_the_run() -> None:
    met = measured([stream(tokens=100, arrived=4)], until_s=5.0)
    # 0.4 s to read what came from 1 s on, and then nothing until 5 s.
    assert met.stalled == pytest.approx(3.6)
    assert met.on_time == 0.04
    assert met.goodput == 0
    # Generated 1/40 s apart from 0.8 s on, and not there at 5 s.
    assert met.age_p99 == pytest.approx(4.14, abs=0.05)
    assert met.whole == 0


def test_a_stream_that_never_began_waited_for_its_first_token() -> None:
    met = measured([stream(arrived=0)], until_s=5.0)
    assert met.ttft_p50 == 4.5
    assert met.age_p50 is None


def test_shares_leave_out_what_came_before_all_was_settled() -> None:
    assert measured([stream()], until_s=5.0, since_s=1.15).shares == {"gold": 2}


def test_a_timeline_tells_how_many_tokens_had_arrived() -> None:
    assert timeline([stream()], 2.0) == [0, 0, 0, 4, 4]


def test_a_refused_stream_ends_the_measurement() -> None:
    check_admitted([stream()], arm="ours")
    with pytest.raises(BenchError, match="ours refused a stream with 429"):
        check_admitted([stream(), stream(status=429)], arm="ours")


@pytest.mark.parametrize(
    ("met", "fault", "end"),
    [
        (stream(), GATEWAY, End.WHOLE),
        (stream(arrived=2, server=1, ended_s=6.1, told="closed"), GATEWAY, End.CUT),
        (stream(arrived=0, server=1, asked_s=7.0, ended_s=7.1, status=0), GATEWAY, End.UNREACHED),
        (stream(arrived=2, server=0, ended_s=6.1, told="closed"), GATEWAY, End.UNEXPLAINED),
        (stream(arrived=2, server=1, ended_s=3.0, told="closed"), GATEWAY, End.UNEXPLAINED),
        (stream(arrived=2, ended_s=6.1, told='{"code": "upstream_lost"}'), UPSTREAM, End.TOLD),
        (stream(arrived=0, ended_s=7.0, status=502, told='{"error":{}}'), UPSTREAM, End.ANSWERED),
        (stream(arrived=2, ended_s=6.1, told="closed"), UPSTREAM, End.UNEXPLAINED),
        (stream(arrived=0, ended_s=7.0, status=503, retry_after="1", told="{}"), UPSTREAM, End.REFUSED),
        (stream(arrived=0, ended_s=7.0, status=503, told="{}"), NOTHING, End.UNEXPLAINED),
        (stream(arrived=2, ended_s=None), NOTHING, End.UNEXPLAINED),
    ],
)
def test_a_broken_stream_is_explained_by_what_was_killed(met: Stream, fault: Fault, end: End) -> None:
    assert explain(met, fault, AWAY) is end


def test_the_code_of_an_error_is_read_even_if_its_end_is_cut_off() -> None:
    assert code('{"error": {"message": "no", "code": "upstream_lost", "trace') == "upstream_lost"
    assert code("closed") == ""


def test_the_distance_from_a_weight_is_that_of_the_worst_tenant() -> None:
    assert off_weight([400, 200, 100], weights=(4, 2, 1)) == pytest.approx(0)
    assert off_weight([300, 300, 100], weights=(4, 2, 1)) == pytest.approx(0.5)


def test_requests_are_the_same_for_a_seed_and_have_the_lengths_of_the_trace() -> None:
    arrivals = Arrivals(per_second=50, most_tokens=100_000)
    asks = list(arrivals.asks(seconds=200, seed=3, tenants=("a", "b")))
    assert asks == list(arrivals.asks(seconds=200, seed=3, tenants=("a", "b")))
    lengths = sorted(ask.tokens for ask in asks)
    assert len(asks) == pytest.approx(10_000, rel=0.05)
    assert lengths[len(lengths) // 2] == pytest.approx(129, rel=0.05)
    assert sum(lengths) / len(lengths) == pytest.approx(211, rel=0.1)
    assert [ask.tenant for ask in asks[:3]] == ["a", "b", "a"]


def test_arrivals_in_bursts_vary_more_than_a_poisson_process() -> None:
    def variation(of: Arrivals) -> float:
        times = [ask.at_s for ask in of.asks(seconds=500, seed=1, tenants=("a",))]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        middle = sum(gaps) / len(gaps)
        spread: float = (sum((gap - middle) ** 2 for gap in gaps) / len(gaps)) ** 0.5
        return spread / middle

    assert variation(Arrivals(per_second=10)) == pytest.approx(1, rel=0.1)
    assert variation(Arrivals(per_second=10, variation=2.0)) == pytest.approx(2, rel=0.15)


def test_steady_requests_are_spread_evenly() -> None:
    asks = steady(streams=4, tokens=9, over_s=2, seed=1, tenants=("a", "b"))
    assert [(ask.at_s, ask.tokens, ask.tenant) for ask in asks] == [
        (0, 9, "a"),
        (0.5, 9, "b"),
        (1, 9, "a"),
        (1.5, 9, "b"),
    ]


def test_ratios_of_means_bear_rounds_with_nothing_in_them() -> None:
    ratio = ratio_of_means([0, 1, 2], [0, 2, 4])
    assert ratio is not None
    assert (ratio.value, ratio.high) == (0.5, 0.5)
    assert ratio_of_means([0, 0], [0, 0]) is None
    found = bootstrap([1.0, 2.0, 3.0, 10.0], max)
    assert found.low <= found.value == found.high == 10
    assert mean([2.0, 2.0]) == Estimate(2, 2, 2)


def test_runs_are_kept_as_they_are_made_and_read_again(tmp_path: Path) -> None:
    kept = Results(tmp_path / "deep" / "links.jsonl")
    kept.begin({"nginx": "1"})
    kept.add(Run(scenario="thin", arm="a", seed=2, figures={"x": 5}))
    kept.add(Run(scenario="thin", arm="a", seed=1, figures={"x": 4, "y": None}))
    again = Results(tmp_path / "deep" / "links.jsonl")
    again.begin({"nginx": "2"})
    assert again.versions == {"nginx": "1"}
    assert again.runs == kept.runs
    assert again.values("thin", "a", "x") == [4, 5]
    assert again.values("thin", "a", "y") == []
    assert (again.has("thin", 2), again.has("thin", 3)) == (True, False)


def test_rates_that_walk_do_so_by_their_seed_or_as_recorded() -> None:
    (cellular,) = (scenario for scenario in SCENARIOS if scenario.walks)
    assert cellular.link(1) == cellular.link(1) != cellular.link(2)
    (phase,) = cellular.link(1, trace=(5.0, 6.0))
    assert phase.conditions.trace_kbit == (5.0, 6.0)


def test_the_page_and_the_report_are_made_from_the_runs() -> None:
    parts = {part: Results(RECORDED / f"{part}.jsonl") for part in report.PARTS}
    page = report.markdown(parts)
    golden = RECORDED / "benchmarks.md"
    assert page == golden.read_text()
    whole = report.html(parts)
    assert whole.count("<svg") == whole.count("</svg>") == 12
    assert "<link" not in whole
    assert "src=" not in whole
    verdicts = {figure.name: figure.met for figure in targets(parts)}
    assert verdicts["Chaos: kill -9 of the upstream"] is True
    assert verdicts["Processor time of 50 streams at 20 tokens/s each"] is True


def test_a_plot_shows_every_value_in_its_frame() -> None:
    drawn = bars("T", "s", {"g": {"a": Estimate(3, 2, 4), "b": Estimate(1, 1, 1)}})
    assert drawn.count("<rect") == 4
    assert "a: 3.000 (95 % 2.000 to 4.000)" in drawn
    curve = lines("T", "tokens", {"a": [0, 5, 10]}, step_s=0.5)
    assert curve.count("<polyline") == 1
    assert "1 s" in curve


def test_a_report_of_no_runs_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["report", "--results", str(tmp_path)])
    assert report.main() == 1
    assert "measure first" in capsys.readouterr().err


def test_the_recorded_runs_are_whole() -> None:
    for part in report.PARTS:
        for line in (RECORDED / f"{part}.jsonl").read_text().splitlines():
            assert isinstance(json.loads(line), dict)
