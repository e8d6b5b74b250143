"""Laws of the rows."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.gpu.rows import GpuRow, percent, samples, throttle_reasons
from tokenflow_api.windows import GpuSamples

count = st.integers(0, 2**63 - 1)
known = st.none() | count
share = st.none() | st.integers(0, 100)
text = st.text(st.characters(codec="ascii"), max_size=20)
rows = st.builds(
    GpuRow,
    uuid=text,
    parent_uuid=text,
    index=count,
    model=text,
    utilization_percent=share,
    memory_used_bytes=known,
    memory_total_bytes=known,
    temperature_celsius=known,
    power_milliwatts=known,
    power_limit_milliwatts=known,
    sm_clock_mhz=known,
    throttle_reasons=text,
    sm_occupancy_percent=share,
    ecc_errors=known,
    xid_errors=known,
)


@given(st.floats())
def test_a_share_is_within_0_and_100_or_unknown(value: float) -> None:
    whole = percent(value)
    assert (whole is None) == math.isnan(value)
    assert whole is None or 0 <= whole <= 100


@given(st.integers(0, 100))
def test_a_whole_share_stays_as_it_is(value: int) -> None:
    assert percent(value) == value
    assert percent(value + 0.4) == min(100, value)


def test_no_share_is_unknown() -> None:
    assert percent(None) is None


@given(st.lists(rows, max_size=10))
def test_the_table_says_of_each_row_what_the_row_says(given_rows: list[GpuRow]) -> None:
    table = samples(given_rows, at_unix_ms=7)
    assert len(table) == len(given_rows)
    columns = table.model_dump()
    assert columns.pop("at_unix_ms") == [7] * len(given_rows)
    for place, row in enumerate(given_rows):
        assert {name: column[place] for name, column in columns.items()} == dataclasses.asdict(row)


def test_a_row_has_every_column_of_the_table() -> None:
    assert {field.name for field in dataclasses.fields(GpuRow)} == GpuSamples.model_fields.keys() - {"at_unix_ms"}


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (None, ""),
        (0, ""),
        (0x1, ""),
        (0x8, "HwSlowdown"),
        (0x25, "SwPowerCap,SwThermalSlowdown"),
        (1 << 40, ""),
    ],
)
def test_throttle_reasons_have_nvmls_names(bits: int | None, names: str) -> None:
    assert throttle_reasons(bits) == names


@given(st.integers(0, 2**64 - 1))
def test_throttle_reasons_always_fit_their_column(bits: int) -> None:
    assert len(throttle_reasons(bits)) <= 253
