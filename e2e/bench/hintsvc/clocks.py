"""Wall clocks of single programs that can be set, while the machine's own stays right."""

import time
from pathlib import Path
from typing import Final

from e2e.bench.errors import BenchError
from e2e.commands import run

_SOURCE: Final = Path(__file__).parent / "clock.c"
_BYTES: Final = 8
_TRIED_S: Final = 3600


class Clock:
    """The wall clock of the programs that run with its variables.

    Args:
        directory: for its files.
        name: of whose clock it is.

    Raises:
        BenchError: it does not work here.
        CommandError: there is no C compiler.
    """

    def __init__(self, directory: Path, *, name: str) -> None:
        self._file = directory / f"clock-{name}"
        library = directory / "clock.so"
        if not library.exists():
            run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)])
        self.env = {"LD_PRELOAD": str(library), "BENCH_CLOCK": str(self._file)}
        self._file.write_bytes(bytes(_BYTES))
        # A library that cannot be loaded is only complained about, and a clock that is not set proves nothing.
        self.set(_TRIED_S)
        if int(run(["date", "+%s"], env=self.env)) - time.time() < _TRIED_S / 2:
            raise BenchError(f"{_SOURCE.name} sets no clock on this machine: run 'date' with {self.env}")
        self.set(0)

    def set(self, seconds: int) -> None:
        """Let it be so many seconds before the machine's."""
        with self._file.open("r+b") as file:
            file.write(seconds.to_bytes(_BYTES, "little", signed=True))
