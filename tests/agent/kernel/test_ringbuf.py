import mmap
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenflow_agent.kernel.ringbuf import RingBuffer

PAGE = mmap.PAGESIZE
SIZE = 2 * PAGE


class Kernel:
    """Writes records as the kernel does, into a file that is laid out like a ring buffer."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(2 * PAGE + SIZE))
        self.file = path.open("r+b")
        self.memory = mmap.mmap(self.file.fileno(), 0)
        self.produced = 0

    def output(self, record: bytes) -> bool:
        (consumed,) = struct.unpack_from("=Q", self.memory, 0)
        taken = -(-(len(record) + 8) // 8) * 8
        if self.produced + taken - consumed > SIZE:
            return False
        for at, byte in enumerate(struct.pack("=II", len(record), 0) + record, start=self.produced):
            self.memory[2 * PAGE + at % SIZE] = byte
        self.produced += taken
        struct.pack_into("=Q", self.memory, PAGE, self.produced)
        return True


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path / "ring")
    yield kernel
    kernel.memory.close()
    kernel.file.close()


def test_records_come_whole_and_in_order_also_around_the_end(kernel: Kernel) -> None:
    chance = random.Random(1)  # noqa: S311 - sizes, not secrets
    written, read = [], []
    with RingBuffer(kernel.file.fileno(), size=SIZE) as ring:
        for _ in range(2000):
            record = chance.randbytes(chance.randint(1, 700))
            if kernel.output(record):
                written.append(record)
            else:
                read += ring.read(most=5)
        read += ring.read(most=1000)
        assert ring.usage_percent == 0
    assert len(written) > 1000
    assert read == written
