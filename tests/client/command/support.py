"""Runs the command as people do: in a process of its own, on a terminal or not."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = [sys.executable, "-m", "tokenflow_client"]
_LONG_S = 60.0
_ANSI = re.compile(r"\x1b(\[[0-9;]*[A-Za-z]|[78])")


def tokenflow(*arguments: str, said: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=said,
        env=environment(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONG_S,
    )


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment without what the command reads of it, and with ``more``."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TOKENFLOW_"))}
    return others | (more or {})


class Running:
    """The command until it is interrupted."""

    def __init__(self, *arguments: str, directory: Path) -> None:
        self._out, self._error = directory / "out", directory / "error"
        with self._out.open("wb") as out, self._error.open("wb") as error:
            self._process = subprocess.Popen(
                [*COMMAND, *arguments], env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=error
            )

    def until(self, holds: Callable[[str, str], bool]) -> None:
        """Wait until something holds of what it has printed and complained of."""
        deadline = time.monotonic() + _LONG_S
        while not holds(self._out.read_text(), self._error.read_text()):
            assert time.monotonic() < deadline, (self._out.read_text(), self._error.read_text())
            time.sleep(0.01)

    def interrupts(self) -> tuple[int, str, str]:
        """Press Ctrl-C, and return the exit status, the output and the complaints."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(_LONG_S)
        return status, self._out.read_text(), self._error.read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Terminal:
    """The command on a terminal of 80 by 24."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        master, slave = pty.openpty()
        self._fd = master
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=environment({"TERM": "xterm", "COLUMNS": "100", "LINES": "24", **(env or {})}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.raw = ""

    def types(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupts(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def shows(self, words: str) -> str:
        """Read until ``words`` stand there, and return all since the last call, without control sequences."""
        return self._reads(lambda seen: words in seen)

    def ends(self) -> int:
        """Return the exit status."""
        return self._process.wait(_LONG_S)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    def _reads(self, enough: Callable[[str], bool]) -> str:
        seen, deadline = "", time.monotonic() + _LONG_S
        while not enough(_ANSI.sub("", seen)):
            assert time.monotonic() < deadline, seen
            seen += os.read(self._fd, 65536).decode()
        self.raw += seen
        return _ANSI.sub("", seen)
