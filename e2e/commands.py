"""Runs other programs, and says in one line what went wrong when they fail."""

import os
import subprocess
from collections.abc import Mapping, Sequence


class CommandError(Exception):
    """A program could not be run, or failed; the message holds its last words."""


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_s: float = 120.0,
) -> str:
    """Run ``command`` to its end and return what it printed.

    Args:
        command: program and arguments.
        env: variables added to this process's own.
        stdin: text for its standard input.
        timeout_s: seconds after which it is ended.

    Raises:
        CommandError: it is missing, failed, or did not end in time.
    """
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise CommandError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(command)}: not done after {timeout_s:.0f} s") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-6:]
        raise CommandError(f"{' '.join(command)} failed ({done.returncode}): " + "\n  ".join(words))
    return done.stdout
