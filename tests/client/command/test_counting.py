"""How tokens are shared out over events."""

from hypothesis import given
from hypothesis import strategies as st

from tokenflow_client._command.completion import Piece
from tokenflow_client._command.counting import arrivals


def piece(weight: int, *, tokens: int | None = None) -> Piece:
    return Piece(at_s=0.0, text="", weight=weight, size=1, tokens=tokens)


def counted(*pieces: Piece) -> list[int]:
    return [arrival.tokens for arrival in arrivals(pieces)]


def test_a_token_for_each_event_of_an_engine_and_more_for_longer_ones_of_a_gateway() -> None:
    assert counted(piece(0), piece(3), piece(11), piece(1), piece(0, tokens=3)) == [0, 1, 1, 1, 0]
    assert counted(piece(4), piece(16), piece(0, tokens=5)) == [1, 4, 0]


def test_a_stream_that_broke_off_is_estimated() -> None:
    assert counted(piece(4), piece(16)) == [1, 4]
    assert counted(piece(2), piece(2)) == [1, 1]


@given(weights=st.lists(st.integers(0, 100), max_size=50), tokens=st.integers(0, 500))
def test_the_sum_is_what_the_usage_says(weights: list[int], tokens: int) -> None:
    found = counted(*map(piece, weights), piece(0, tokens=tokens))
    assert sum(found) == (tokens if any(weights) else 0)
    assert all(count >= 0 for count in found)
    assert all(not count for count, weight in zip(found, weights, strict=False) if not weight)
