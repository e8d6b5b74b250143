import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.meta import Resources
from tokenflow_api.quantities import amount, seconds


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("1m30s", 90.0), ("2h", 7200.0), ("1s500ms", 1.5), ("0s", 0.0)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("asked", "written"), [("0.5m", "500u"), ("0.001m", "1000n"), ("1000T", "1P"), ("1024Ti", "1Pi"), ("0.5", "500m")]
)
def test_what_the_api_server_writes_is_what_was_asked_for(asked: str, written: str) -> None:
    assert amount(asked) == amount(written)


@pytest.mark.parametrize(("text", "value"), [("64Mi", 64 << 20), ("1k", 1000), ("4", 4), ("1.5Gi", 3 << 29)])
def test_quantities(text: str, value: int) -> None:
    assert amount(text) == value


def test_a_bare_number_is_a_quantity() -> None:
    resources = Resources.model_validate({"requests": {"cpu": 2, "memory": "1Gi"}, "limits": {"cpu": "2500m"}})
    assert resources.model_dump(exclude_none=True)["requests"] == {"cpu": "2", "memory": "1Gi"}


@pytest.mark.parametrize("value", [True, -1, 1.5, 10**12])
def test_not_every_number_is_a_quantity(value: object) -> None:
    with pytest.raises(ValueError, match=r"requests\.cpu"):
        Resources.model_validate({"requests": {"cpu": value}})


@pytest.mark.parametrize("text", ["", "1", "5 s", "1.5s", "s", "-1s", "1d"])
def test_other_words_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)


@pytest.mark.parametrize("text", ["", "Mi", "1 Mi", "1e3", "-1", "1KiB"])
def test_other_words_are_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        amount(text)


@given(milliseconds=st.integers(0, 99_999))
def test_milliseconds_come_back(milliseconds: int) -> None:
    assert round(seconds(f"{milliseconds}ms") * 1000) == milliseconds
