"""``tokenflow-agent``: measures the network and the GPUs of every pod of its node.

A command is a module that is imported when it is called: the running agent carries none of what only the others
need.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from tokenflow_agent.commands.grammar import parser
from tokenflow_agent.errors import AgentError, UsageError

_INTERRUPTED: Final = 130


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit status: 0, 1 for a failure, 2 for a call that cannot work, 130 for Ctrl-C.
    """
    arguments = parser().parse_args(words)
    command = import_module(f"tokenflow_agent.commands.{arguments.command}")
    try:
        status: int = command.main(arguments)
    except AgentError as error:
        print(f"tokenflow-agent: {error}", file=sys.stderr)  # noqa: T201 - a command line's last words
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


if __name__ == "__main__":
    sys.exit(main())
