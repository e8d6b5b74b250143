"""What is counted of usage, and what it costs."""

from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.pacing_policy import Price
from tokenflow_hintsvc.quota.usage import MAX_HOURS, UsageBook
from tokenflow_hintsvc.store.usage import Field

HOUR_MS = 3_600_000


def test_it_is_counted_by_the_hour() -> None:
    now = [10 * HOUR_MS - 1]
    book = UsageBook(now_ms=lambda: now[0])
    book.admitted("gold")
    now[0] += 1
    book.committed("gold", input_tokens=5, output_tokens=7, duration_ms=900, price=None)
    before, after = book.take()
    assert (before.hour, before.amounts) == (9, {Field("requests"): 1})
    assert (after.hour, after.amounts) == (
        10,
        {Field("input_tokens"): 5, Field("output_tokens"): 7, Field("duration_ms"): 900},
    )
    assert book.take() == []


@given(parts=st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), max_size=50), price=st.integers(0, 10**12))
def test_rounding_never_adds_up(parts: list[tuple[int, bool]], price: int) -> None:
    book = UsageBook(now_ms=lambda: 0)
    priced = Price(currency="USD", input_micros_per_million_tokens=price)
    micros = 0
    for tokens, flush in parts:
        book.committed("gold", input_tokens=tokens, output_tokens=0, duration_ms=0, price=priced)
        if flush:
            micros += sum(hour.amounts.get(Field("input_micros", "USD"), 0) for hour in book.take())
    book.close()
    micros += sum(hour.amounts.get(Field("input_micros", "USD"), 0) for hour in book.take())
    exact = sum(tokens for tokens, _ in parts) * price
    assert abs(micros * 10**6 - exact) <= 10**6 // 2


def test_an_outage_keeps_no_more_than_there_is_place_for() -> None:
    now = [0]
    book = UsageBook(now_ms=lambda: now[0])
    for hour in range(MAX_HOURS + 5):
        now[0] = hour * HOUR_MS
        book.admitted("gold")
    assert len(book.take()) == MAX_HOURS
