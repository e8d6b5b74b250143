from datetime import UTC, datetime

import pytest

from tokenflow_operator.cli.table import age, table

NOW = datetime(2026, 1, 10, tzinfo=UTC)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert (
        table(("NAME", "N"), [("a-long-name", 1), ("b", 22)]) == "NAME          N\na-long-name   1\nb             22\n"
    )


def test_no_rows_make_no_table() -> None:
    assert table(("NAME",), []) == ""


@pytest.mark.parametrize(
    ("since", "words"),
    [
        ("2026-01-09T23:59:30Z", "30s"),
        ("2026-01-09T23:58:30Z", "90s"),
        ("2026-01-09T23:50:00Z", "10m"),
        ("2026-01-09T00:00:00Z", "24h"),
        ("2026-01-01T00:00:00Z", "9d"),
        ("2026-01-10T00:00:05Z", "0s"),
        ("soon", "?"),
    ],
)
def test_an_age_is_told_in_its_largest_unit(since: str, words: str) -> None:
    assert age(since, now=NOW) == words
