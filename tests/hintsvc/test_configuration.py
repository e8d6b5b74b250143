"""The config in force: whole, never older, and the last good one when a bad one comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hintsvc.support import runtime
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.configuration import MAX_BYTES, Configuration, Origin


def document(generation: int, *, uid: str = "policy-1", retransmit: int = 2) -> bytes:
    config = runtime(generation=generation, thresholds={"retransmitPercent": retransmit})
    return config.model_copy(update={"uid": uid}).model_dump_json().encode()


def broken(generation: int) -> bytes:
    fields = json.loads(document(generation))
    fields["spec"]["pacing"]["minTokensPerSecond"] = 0
    return json.dumps(fields).encode()


def test_the_newest_generation_is_in_force() -> None:
    configuration = Configuration()
    seen: list[int] = []
    configuration.on_change(lambda config: seen.append(config.generation))
    for generation in (3, 2, 4, 4, 1):
        configuration.offer(document(generation), origin=Origin.WATCH)
    assert seen == [3, 4]
    assert configuration.current == runtime(generation=4, thresholds={"retransmitPercent": 2})


def test_a_bad_config_is_refused_whole_and_the_last_good_one_stays() -> None:
    configuration = Configuration()
    errors: list[str] = []
    configuration.on_error(errors.append)
    configuration.offer(document(1), origin=Origin.WATCH)
    good = configuration.current
    configuration.offer(broken(2), origin=Origin.WATCH)
    configuration.offer(broken(2), origin=Origin.WATCH)
    assert configuration.current is good
    configuration.offer(document(3), origin=Origin.WATCH)
    assert configuration.error == ""
    assert errors == [
        "the runtime config is refused: spec.pacing.minTokensPerSecond: Input should be greater than or equal to 1",
        "",
    ]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"{}", "Field required"),
        (b" " * (MAX_BYTES + 1), "above 1048576 bytes"),
    ],
)
def test_what_is_no_config_is_refused_with_the_reason(bad: bytes, words: str) -> None:
    configuration = Configuration()
    configuration.offer(bad, origin=Origin.FILE)
    assert configuration.current is None
    assert words in configuration.error


def test_the_late_file_does_not_undo_what_the_watch_brought() -> None:
    configuration = Configuration()
    configuration.offer(document(1, retransmit=2), origin=Origin.FILE)
    # Within one generation too: a TelemetryAgent came, and with it a grant.
    configuration.offer(document(1, retransmit=3), origin=Origin.WATCH)
    configuration.offer(document(1, retransmit=2), origin=Origin.FILE)
    configuration.offer(document(9, uid="deleted"), origin=Origin.FILE)
    assert configuration.current == RuntimeConfig.model_validate_json(document(1, retransmit=3))
    assert configuration.origin is Origin.WATCH


def test_a_config_that_the_watch_confirms_counts_as_the_watchs() -> None:
    configuration = Configuration()
    configuration.offer(document(1, retransmit=2), origin=Origin.FILE)
    configuration.offer(document(1, retransmit=2), origin=Origin.WATCH)
    assert configuration.origin is Origin.WATCH
    configuration.offer(document(1, retransmit=3), origin=Origin.FILE)
    assert configuration.current == RuntimeConfig.model_validate_json(document(1, retransmit=2))


def test_the_file_brings_a_newer_generation_while_the_watch_is_away() -> None:
    configuration = Configuration()
    configuration.offer(document(1), origin=Origin.WATCH)
    configuration.offer(document(2), origin=Origin.FILE)
    assert configuration.current is not None
    assert configuration.current.generation == 2


def test_a_good_file_does_not_hide_that_the_watch_brought_a_bad_one() -> None:
    configuration = Configuration()
    configuration.offer(broken(2), origin=Origin.WATCH)
    configuration.offer(document(1), origin=Origin.FILE)
    assert "minTokensPerSecond" in configuration.error


def test_a_policy_made_anew_begins_at_generation_1_again() -> None:
    configuration = Configuration()
    configuration.offer(document(7, uid="first"), origin=Origin.WATCH)
    configuration.offer(document(1, uid="second"), origin=Origin.WATCH)
    assert configuration.current is not None
    assert (configuration.current.uid, configuration.current.generation) == ("second", 1)


OFFERS = st.tuples(st.sampled_from(Origin), st.integers(1, 9), st.booleans(), st.integers(1, 9))


@given(st.lists(OFFERS, max_size=20))
def test_it_is_never_an_older_one_and_never_half_of_one(offers: list[tuple[Origin, int, bool, int]]) -> None:
    configuration = Configuration()
    offered = set()
    newest = 0
    for origin, generation, good, retransmit in offers:
        text = document(generation, retransmit=retransmit) if good else broken(generation)
        configuration.offer(text, origin=origin)
        if good:
            offered.add(text)
            newest = max(newest, generation)
        in_force = configuration.current
        assert (in_force.generation if in_force else 0) == newest
        assert in_force is None or in_force.model_dump_json().encode() in offered


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_break_it(data: bytes) -> None:
    configuration = Configuration()
    configuration.offer(document(1), origin=Origin.WATCH)
    configuration.offer(data, origin=Origin.WATCH)
    assert configuration.current is not None
    assert configuration.error
