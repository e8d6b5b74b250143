"""Runs the emulator of a path beside this process, and talks to it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from e2e.commands import run
from e2e.link.apply import LinkError
from e2e.link.emulator import OBSERVED, PHASES
from e2e.link.observed import Observed
from e2e.link.path import Phase

_END_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Emulated:
    """A path that is emulated.

    Attributes:
        netns: network namespace of the far end.
        number: second part of the addresses on it.
    """

    netns: str
    number: int
    _process: subprocess.Popen[str]

    @property
    def near(self) -> str:
        """Address of the near end, in this network namespace."""
        return f"10.{self.number}.255.1"

    def far(self, network: int) -> str:
        """Return an address of the far end, in a /24 network of its own: 0 to 127."""
        return f"10.{self.number}.{network}.2"

    def begin(self, phases: Sequence[Phase], *, seed: int) -> None:
        """Let new conditions hold from now on, and count anew.

        Raises:
            LinkError: the emulator has ended.
        """
        self._ask({"phases": PHASES.dump_python(tuple(phases)), "seed": seed})

    def counted(self) -> Observed:
        """Return what was sent towards the far end since the conditions began.

        Raises:
            LinkError: the emulator has ended.
        """
        return self._ask({})

    def _ask(self, request: dict[str, Any]) -> Observed:
        if not self._process.stdin or not self._process.stdout:
            raise LinkError("the emulator has no pipes")
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return OBSERVED.validate_json(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise LinkError(f"the emulator of {self.netns} has ended: see above for its words") from error


@contextmanager
def emulated(netns: str, *, number: int) -> Iterator[Emulated]:
    """Make a network namespace and a path to it, clear at first, until the block is left.

    Args:
        netns: name of the namespace.
        number: second part of the addresses on the path: one that is used nowhere else, 1 to 254.

    Raises:
        CommandError: the namespace cannot be made: this needs root.
        LinkError: the emulator did not start.
    """
    run(["ip", "netns", "add", netns])
    try:
        command = [sys.executable, "-m", "e2e.link.emulator", netns, str(number)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                path = Emulated(netns, number, process)
                if process.stdout is None or process.stdout.readline() != "{}\n":
                    raise LinkError(f"the emulator of {netns} did not start: see above for its words")
                yield path
            finally:
                if process.stdin:
                    process.stdin.close()
                process.wait(_END_S)
    finally:
        run(["ip", "netns", "delete", netns])
