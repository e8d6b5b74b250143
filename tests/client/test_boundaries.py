from hypothesis import given
from hypothesis import strategies as st

from tokenflow_client._boundaries import MAX_EVENT_BYTES, EventSplitter, tokens

line = st.sampled_from(["data: é", "data: {}", ": keep-alive", "id: 7", "event: 漢", "data:"])
event = st.tuples(st.lists(line, min_size=1, max_size=3), st.sampled_from(["\n", "\r\n", "\r"])).map(
    lambda told: told[1].join([*told[0], "", ""]).encode()
)


@given(
    events=st.lists(event, max_size=8),
    data=st.data(),
    rest=st.sampled_from([b"", b"data: unfin", "data: é".encode()[:-1]]),
)
def test_events_stay_whole_however_they_are_cut(events: list[bytes], data: st.DataObject, rest: bytes) -> None:
    stream = b"".join(events) + rest
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    splitter, found = EventSplitter(), list[bytes]()
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.feed(stream[begin:end])
    found.append(splitter.rest())
    assert b"".join(found) == stream
    assert [piece for piece in found if piece] == ([*events, rest] if rest else events)


def test_an_event_above_the_bound_is_passed_on_in_pieces() -> None:
    splitter = EventSplitter()
    huge = b"x" * (MAX_EVENT_BYTES + 1)
    assert list(splitter.feed(huge)) == [huge]
    assert list(splitter.feed(b"y\n\ndata: 1\n\n")) == [b"y\n\n", b"data: 1\n\n"]


def test_comments_are_no_tokens() -> None:
    assert [tokens(told) for told in (b": keep-alive\n\n", b"data: 1\n\n", b"event: a\r\ndata: 1\r\n\r\n")] == [0, 1, 1]
