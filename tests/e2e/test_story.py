import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.demo.story import Story, verdict
from e2e.link import Link, clear, degrade
from e2e.reader.metrics import Arrival, figures, stall_time


def arrivals(*times: float, tokens: int = 1) -> list[Arrival]:
    return [Arrival(at=at, stream=0, tokens=tokens, size=100) for at in times]


def test_a_reader_that_is_kept_fed_never_waits() -> None:
    assert stall_time(arrivals(*(n / 20 for n in range(100))), until=5.0, rate=10.0) == pytest.approx(0.0)


def test_a_pause_is_waited_for_less_what_was_in_hand() -> None:
    # Ten tokens last a second; the next ones come after three.
    assert stall_time(arrivals(0.0, 3.0, tokens=10), until=4.0, rate=10.0) == pytest.approx(2.0)


@given(times=st.lists(st.floats(0.0, 50.0), min_size=1, max_size=50), rate=st.floats(0.5, 100.0))
def test_nobody_waits_longer_than_they_watched(times: list[float], rate: float) -> None:
    ordered = sorted(times)
    waited = stall_time(arrivals(*ordered), until=50.0, rate=rate)
    assert 0.0 <= waited <= 50.0 - ordered[0] + 1e-9


def test_an_open_gap_at_the_end_counts() -> None:
    seen = figures(arrivals(0.0, 1.0), until=9.0)
    assert seen.gap_max_s == 8.0
    assert seen.bytes_per_token == 100.0


def told(*, low: float, end: float, batch: int = 1, rtt_us: float = 5000.0, agent: bool = True) -> Story:
    story = Story()
    story.add(json.dumps({"at": 0.0, "path": "llama/10.0.0.0/24"}), now=0.0)
    for at, name in ((0.0, "clear"), (10.0, "degraded"), (20.0, "recovery"), (30.0, "end")):
        story.add(json.dumps({"at": at, "phase": name}), now=at)
    for at, rate, size, rtt in ((5.0, 80.0, 1, 500.0), (15.0, low, batch, rtt_us), (25.0, end, 1, 500.0)):
        hint = {
            "tokens_per_second": rate,
            "batch_size": size,
            "health": 1.0,
            "state": "Clear",
            "missing": [] if agent else ["agent"],
            "signals": {"rtt_us": rtt, "retransmit_ratio": 0.03},
        }
        story.add_hint(json.dumps({"hint": hint}), now=at)
        story.add(json.dumps({"at": at, "tokens": 1, "stream": 0, "bytes": 10}), now=at)
    return story


@pytest.mark.parametrize("story", [told(low=10.0, end=80.0), told(low=79.0, end=80.0, batch=4)])
def test_a_hint_that_follows_the_link_is_what_was_promised(story: Story) -> None:
    assert all(claim.holds for claim in verdict(story))


@pytest.mark.parametrize(
    "story",
    [
        told(low=79.0, end=80.0),
        told(low=79.0, end=80.0, batch=3),
        told(low=10.0, end=20.0),
        told(low=10.0, end=80.0, rtt_us=600.0),
        told(low=10.0, end=80.0, agent=False),
        Story(),
    ],
)
def test_anything_less_is_told_apart(story: Story) -> None:
    assert not all(claim.holds for claim in verdict(story))


def test_a_link_can_be_taken_away_again() -> None:
    link = Link(rate_kbit=64, queue_kib=24, loss_percent=3)
    made = [word for command in degrade(link, device="eth0") for word in command]
    assert {"64kbit", "24576"} <= set(made)
    undone = [word for command in clear(device="eth0") for word in command]
    assert {"eth0", "tf-link"} <= set(made)
    assert {"eth0", "tf-link"} <= set(undone)
