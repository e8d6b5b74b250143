from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_gateway.errors import UpstreamBrokeOffError
from tokenflow_gateway.stream.events import MAX_EVENT_BYTES, EventCutter

lines = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=8)
events = st.lists(st.lists(lines, min_size=1, max_size=3), max_size=12)


@given(
    said=events,
    cuts=st.lists(st.integers(0, 400), max_size=20),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_neither_the_networks_cuts_nor_the_ends_of_lines_matter(
    said: list[list[str]], cuts: list[int], end: bytes
) -> None:
    expected = [b"\n".join(line.encode() for line in event) for event in said]
    stream = b"".join(event.replace(b"\n", end) + 2 * end for event in expected)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    cutter = EventCutter()
    assert [event for low, high in pairwise(edges) for event in cutter.feed(stream[low:high])] == expected
    assert cutter.rest() == b""


def test_an_event_is_complete_with_its_blank_line_however_lines_end() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        assert EventCutter().feed(b"data: a" + 2 * end) == [b"data: a"]


def test_further_blank_lines_are_no_events() -> None:
    assert EventCutter().feed(b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n") == [b"data: a", b"data: b"]


def test_what_is_left_unfinished_is_there_at_the_end() -> None:
    cutter = EventCutter()
    assert cutter.feed(b"data: a\n\ndata: b\n") == [b"data: a"]
    assert cutter.rest() == b"data: b\n"


def test_an_endless_event_is_refused_however_it_arrives() -> None:
    cutter = EventCutter()
    for _ in range(MAX_EVENT_BYTES // 4096):
        assert cutter.feed(b"x" * 4096) == []
    with pytest.raises(UpstreamBrokeOffError, match="above 1048576 bytes"):
        cutter.feed(b"x")


@given(noise=st.lists(st.binary(max_size=60), max_size=10))
def test_noise_never_breaks_the_cutter(noise: list[bytes]) -> None:
    cutter = EventCutter()
    passed = sum(len(event) for data in noise for event in cutter.feed(data)) + len(cutter.rest())
    assert passed <= sum(map(len, noise))
