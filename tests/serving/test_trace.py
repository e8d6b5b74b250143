"""Trace ids, and the header that carries them."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.serving import trace

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"


def test_the_callers_trace_goes_on() -> None:
    assert trace.begin(f"00-{TRACE_ID}-{PARENT_ID}-01") == trace.Trace(TRACE_ID, PARENT_ID, sampled=True)
    assert trace.trace_id() == TRACE_ID
    assert not trace.begin(f"00-{TRACE_ID}-{PARENT_ID}-00").sampled


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        f"00-{TRACE_ID}-{PARENT_ID}",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",
        f"01-{TRACE_ID}-{PARENT_ID}-01more",
    ],
)
def test_a_malformed_header_begins_a_new_trace(malformed: str) -> None:
    begun = trace.begin(malformed)
    assert begun.parent_id == ""
    assert begun.trace_id not in ("", TRACE_ID)


def test_a_later_version_may_say_more() -> None:
    assert trace.begin(f"01-{TRACE_ID}-{PARENT_ID}-01-more").trace_id == TRACE_ID


@given(st.text())
def test_any_header_gives_an_id_that_others_take(header: str) -> None:
    assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}", trace.begin(header).trace_id)


async def test_tasks_do_not_share_their_trace() -> None:
    async def request() -> tuple[str, str]:
        begun = trace.begin().trace_id
        await asyncio.sleep(0)
        return begun, trace.trace_id()

    results = await asyncio.gather(request(), request())
    assert all(begun == seen for begun, seen in results)
    assert results[0] != results[1]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_work_elsewhere_goes_on_below_our_span(flags: str) -> None:
    theirs = trace.begin(f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}")
    ours = theirs.child("b7ad6b7169203331")
    assert ours.traceparent == f"00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-{flags}"
    assert trace.begin(ours.traceparent) == ours
