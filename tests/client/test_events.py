from collections.abc import AsyncIterator

from tokenflow_client._events import Event, events


async def lines(*told: str) -> AsyncIterator[str]:
    for line in told:
        yield line


async def test_events_end_at_blank_lines() -> None:
    stream = lines("event: snapshot", "id: 1", "data: {", "data: }", "", ": keep-alive", "", "data: x", "")
    assert [event async for event in events(stream)] == [
        Event("snapshot", "{\n}", "1"),
        Event("message", "", "1"),
        Event("message", "x", "1"),
    ]
