"""``tokenflow chat``: a conversation in the terminal, with what its stream is like."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator

from tokenflow_client._command.conversation import HELP, Conversation, Settings
from tokenflow_client._command.errors import CompletionError
from tokenflow_client._command.terminal import StatusLine, dim, printable


def run(settings: Settings) -> int:
    """Chat until /quit, the end of the input or Ctrl-C at the prompt: 1 where an answer failed, else 0.

    Raises:
        CommandError: no model can be talked to.
    """
    failed = False
    with asyncio.Runner() as runner, StatusLine(sys.stdout) as status:
        talk = Conversation(settings, status)
        try:
            runner.run(talk.choose())
            for line in _lines():
                if line == "/quit":
                    break
                if line.startswith("/"):
                    sys.stdout.write(talk.steer(line) + "\n")
                elif line:
                    failed = not _ask(runner, talk, line) or failed
        finally:
            runner.run(talk.close())
    return 1 if failed else 0


def _lines() -> Iterator[str]:
    """Yield what is said; of a terminal until the end of the input or Ctrl-C."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin)
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401, PLC0415 - imported for what it does to input()
    sys.stdout.write(dim(HELP, sys.stdout) + "\n")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            yield input("> ").strip()


def _ask(runner: asyncio.Runner, talk: Conversation, line: str) -> bool:
    """Ask, and return whether an answer came; Ctrl-C ends an answer on a terminal, and the chat elsewhere."""
    try:
        runner.run(talk.ask(line))
    except CompletionError as error:
        sys.stderr.write(f"tokenflow chat: {printable(str(error))}\n")
        return False
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        sys.stdout.write(dim(" (stopped)", sys.stdout) + "\n")
    return True
