from collections.abc import AsyncIterator

import pytest

from tokenflow_client import HintsUnavailableError
from tokenflow_client import _events as module
from tokenflow_client._events import Event, events

URL = "http://hints"


async def stream(*told: bytes) -> AsyncIterator[bytes]:
    for data in told:
        yield data


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_events_end_at_blank_lines(end: str) -> None:
    lines = (
        "event: snapshot",
        "id: 1",
        "data: {",
        "data: }",
        "",
        ": keep-alive",
        "",
        "data: x",
        "",
        "data: unfinished",
    )
    said = end.join(lines).encode()
    assert [event async for event in events(stream(said[:9], said[9:]), source=URL)] == [
        Event("snapshot", "{\n}", "1"),
        Event("message", "", "1"),
        Event("message", "x", "1"),
    ]


async def test_what_merely_looks_like_an_end_of_a_line_is_none() -> None:
    assert [event async for event in events(stream("data: a\u2028b\x0cc\n\n".encode()), source=URL)] == [
        Event("message", "a\u2028b\x0cc")
    ]


async def test_an_event_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EVENT_BYTES", 1 << 20)
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b"data: 1\n\ndata: "
        while True:
            taken += 1 << 16
            yield b"x" * (1 << 16)

    told = events(endless(), source=URL)
    assert await anext(told) == Event("message", "1")
    with pytest.raises(HintsUnavailableError, match="http://hints sent an event above 1 MiB"):
        await anext(told)
    assert taken <= (1 << 20) + (1 << 16)
