import pytest

from tokenflow_agent.l7.traceparent import trace_id

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("value", [f"00-{TRACE}-b7ad6b7169203331-01", f"cc-{TRACE}-b7ad6b7169203331-01-later"])
def test_the_trace_is_read(value: str) -> None:
    assert trace_id(value) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331-01-later",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331",
        f"00-{TRACE}-b7ad6b7169203331-0\u0661",
    ],
)
def test_what_is_malformed_is_no_trace(value: str) -> None:
    assert trace_id(value) is None
