"""What a run is summed up to, and how it is told."""

from dataclasses import replace

import pytest

from tokenflow_client._command.demand import Request
from tokenflow_client._command.load import Outcome, Run
from tokenflow_client._command.measures import Arrival
from tokenflow_client._command.report import Report, report
from tokenflow_client._command.report_text import text

REQUEST = Request(at_s=0.0, tenant=0, prompt_tokens=1, output_tokens=1, seed=1)
# Asked at 10, first token after 1 s, then one each 0.1 s, and a pause of 1 s before the last.
GOOD = Outcome(
    request=REQUEST,
    start_s=10.0,
    end_s=12.2,
    arrivals=[Arrival(11.0, 1, 200), Arrival(11.1, 1, 200), Arrival(12.1, 1, 200)],
)
BROKEN = Outcome(
    request=replace(REQUEST, tenant=1), start_s=10.0, end_s=13.0, arrivals=[Arrival(12.0, 2, 300)], error="broken off"
)
REFUSED = Outcome(request=REQUEST, start_s=10.0, end_s=10.1, error="429 too_many_streams")


def summed(*outcomes: Outcome, **more: object) -> Report:
    run = replace(Run(start_s=10.0, outcomes=list(outcomes), lags_s=[0.001]), **more)  # type: ignore[arg-type]
    return report(run, end_s=20.0, reading_rates=[10.0], first_token_s=1.0)


def test_a_run_is_summed_up() -> None:
    found = summed(GOOD, BROKEN, REFUSED)
    assert (found.requests, found.tokens, found.seconds) == (3, 5, 10.0)
    assert found.errors == {"broken off": 1, "429 too_many_streams": 1}
    assert found.bytes_per_token == 180.0
    assert (found.first_token.p50, found.first_token.max) == (1.5, 2.0)
    assert found.gap.max == pytest.approx(1.0)
    # Only what ended well has a time to its end.
    assert found.completion.max == pytest.approx(2.2)
    (reader,) = found.readers
    # The good one waits 0.9 s of 1.2 s; the broken one 0.8 s of the second until it broke off.
    assert reader.stalled_s == pytest.approx(1.7)
    assert reader.stall_ratio == pytest.approx(1.7 / 2.2)
    assert (reader.stalls, reader.on_time) == (2, pytest.approx(4 / 5))
    assert reader.effective_tokens_per_second == pytest.approx(0.5)
    assert 0.0 < reader.quality < 1 / 3


def test_fairness_is_of_the_tenants_rates() -> None:
    assert summed(GOOD, REFUSED).fairness is None
    one, other = 3 / 2.2, 2 / 3.0
    assert summed(GOOD, BROKEN).fairness == pytest.approx((one + other) ** 2 / (2 * (one**2 + other**2)))


def test_nothing_that_came_is_told_as_nothing() -> None:
    found = summed(REFUSED)
    assert (found.first_token.p50, found.bytes_per_token, found.completion.max) == (None, None, None)
    assert "nan" not in text(found)
    assert "1  429 too_many_streams" in text(found)


def test_people_are_warned_of_what_spoils_the_figures() -> None:
    assert "warning" not in text(summed(GOOD))
    assert "late itself" in text(summed(GOOD, lags_s=[0.2]))
    assert "3 requests waited for a stream; they count from when they were due" in text(summed(GOOD, held_back=3))
    assert "2 requests never had their turn: raise --max-streams" in text(summed(GOOD, never_started=2))
