"""``tokenflow-agent record FILE``: writes windows as they come."""

import argparse
import signal
import sys
from math import inf
from typing import Final

from tokenflow_agent.commands.feed import Feed
from tokenflow_agent.commands.polling import polls
from tokenflow_agent.commands.recording.writing import Recording, create

_INTERVAL_S: Final = 2.0
"""The agent keeps its last sixteen windows, of a second at least."""


def main(arguments: argparse.Namespace) -> int:
    """Record until the time is over, or until Ctrl-C or SIGTERM; return 1 where no window came.

    Raises:
        UsageError: the file cannot be one.
        RecordingError: it cannot be written.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    feed = Feed(arguments.url)
    recording = create(arguments.file, table=arguments.table)
    try:
        _record(feed, recording, duration_s=arguments.duration or inf)
    except KeyboardInterrupt:
        _say("ending")
    finally:
        recording.close()
    _say(f"{recording.windows} windows with {recording.rows} rows are in {arguments.file}; {feed.missed} were missed")
    return 0 if recording.windows else 1


def _record(feed: Feed, recording: Recording, *, duration_s: float) -> None:
    away = False
    for poll in polls(feed, interval_s=_INTERVAL_S, duration_s=duration_s):
        if poll.trouble and not away:
            _say(poll.trouble)
        away = bool(poll.trouble)
        for batch in poll.batches:
            recording.add(batch)


def _say(words: str) -> None:
    print(f"tokenflow-agent record: {words}", file=sys.stderr)  # noqa: T201 - a command line's words
