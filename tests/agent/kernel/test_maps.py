"""Maps of the running kernel."""

import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tokenflow_agent.kernel.loader import Loaded, Unit, load
from tokenflow_agent.kernel.maps import BpfMap, processors

pytestmark = pytest.mark.bpf
SLOT = struct.Struct("=I")
NUMBER = struct.Struct("=Q")
SOURCE = """
BPF_HASH(hash, u32, u64, 1000);
BPF_PERCPU_ARRAY(each, u64, 1);
"""


@pytest.fixture
async def maps(tmp_path: Path) -> AsyncIterator[Loaded]:
    if os.geteuid() != 0:
        pytest.skip("BPF maps need root")
    file = tmp_path / "program.c"
    file.write_text(SOURCE)
    loaded = await load(Unit(source=file, programs=[], maps=["hash", "each"]))
    yield loaded
    loaded.close()


@pytest.mark.parametrize("count", [0, 1, 256, 1000])
def test_a_map_is_drained_of_each_entry_once(maps: Loaded, count: int) -> None:
    table = BpfMap(maps.maps["hash"], key=SLOT, value=NUMBER)
    for number in range(count):
        table.put((number,), (2 * number,))
    assert sorted(table.drain(most=1000)) == [((number,), (2 * number,)) for number in range(count)]
    assert list(table.drain(most=1000)) == []


def test_what_is_not_there_is_none(maps: Loaded) -> None:
    assert BpfMap(maps.maps["hash"], key=SLOT, value=NUMBER).get(7) is None


def test_a_full_map_refuses(maps: Loaded) -> None:
    table = BpfMap(maps.maps["hash"], key=SLOT, value=NUMBER)
    for number in range(1000):
        table.put((number,), (0,))
    with pytest.raises(OSError, match="Argument list too long"):
        table.put((1000,), (0,))


def test_every_processor_has_its_value(maps: Loaded) -> None:
    values = tuple(range(processors()))
    table = BpfMap(maps.maps["each"], key=SLOT, value=struct.Struct(f"={processors()}Q"))
    table.put((0,), values)
    assert table.get(0) == values


@pytest.mark.parametrize(("words", "count"), [("0-3\n", 4), ("0\n", 1), ("0-1,4-7\n", 8)])
def test_processors_are_counted_from_the_kernels_list(tmp_path: Path, words: str, count: int) -> None:
    file = tmp_path / "possible"
    file.write_text(words)
    assert processors(file) == count
