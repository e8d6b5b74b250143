"""What may be written to a terminal, and a line of it that stays in place."""

import os
import re
import shutil
from types import TracebackType
from typing import Final, Self, TextIO

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LEAST_LINES: Final = 4


def printable(text: str) -> str:
    """Return ``text`` without the control characters that could steer a terminal: models write what they are fed."""
    return _CONTROL.sub("", text)


def dim(text: str, out: TextIO) -> str:
    """Return ``text`` in a weaker colour where ``out`` is a terminal whose user wants colours."""
    return f"\x1b[2m{text}\x1b[22m" if out.isatty() and not os.environ.get("NO_COLOR") else text


class StatusLine:
    """The last line of a terminal, below what scrolls; where ``out`` is none, nothing is shown.

    The scrolling region of DECSTBM keeps the text above off the line, also while a prompt is edited.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lines = 0

    def __enter__(self) -> Self:
        lines = shutil.get_terminal_size().lines
        if self._out.isatty() and os.environ.get("TERM") != "dumb" and lines >= _LEAST_LINES:
            self._lines = lines
            # One line up first, in case the cursor is on the last.
            self._write(f"\n\x1b[1;{lines - 1}r\x1b[{lines - 1};1H")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._lines:
            self._write(f"\x1b[r\x1b[{self._lines};1H\x1b[2K")

    def show(self, text: str) -> None:
        """Show ``text``, cut to the width of the terminal."""
        if self._lines:
            width = shutil.get_terminal_size().columns
            self._write(f"\x1b7\x1b[{self._lines};1H\x1b[2K{dim(printable(text)[: width - 1], self._out)}\x1b8")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
