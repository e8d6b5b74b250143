from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.delivery.verdict import Fate, Verdict, judge

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict(Fate.TAKEN)),
        (202, Verdict(Fate.TAKEN)),
        (301, Verdict(Fate.AGAIN)),
        (400, Verdict(Fate.REFUSED)),
        (401, Verdict(Fate.AGAIN, 5.0)),
        (403, Verdict(Fate.AGAIN, 5.0)),
        (404, Verdict(Fate.REFUSED)),
        (408, Verdict(Fate.AGAIN)),
        (413, Verdict(Fate.REFUSED)),
        (429, Verdict(Fate.AGAIN)),
        (500, Verdict(Fate.AGAIN)),
        (503, Verdict(Fate.AGAIN)),
    ],
)
def test_a_status_decides(status: int, verdict: Verdict) -> None:
    assert judge(status, {}, now=NOW) == verdict


@pytest.mark.parametrize(
    ("words", "pause_s"),
    [
        ("7", 7.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("86400", 300.0),
        ("soon", 0.0),
        ("²", 0.0),
        ("9" * 500, 0.0),
    ],
)
def test_a_server_may_name_its_time(words: str, pause_s: float) -> None:
    assert judge(503, {"retry-after": words}, now=NOW) == Verdict(Fate.AGAIN, pause_s)


@given(status=st.integers(100, 599), words=st.text())
def test_no_header_raises_and_no_pause_is_endless(status: int, words: str) -> None:
    assert 0 <= judge(status, {"retry-after": words}, now=NOW).pause_s <= 300
