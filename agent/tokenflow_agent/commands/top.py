"""``tokenflow-agent top``: shows the node's pods as they fare."""

import argparse
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live

from tokenflow_agent.commands.feed import Feed
from tokenflow_agent.commands.pods import pods
from tokenflow_agent.commands.polling import Poll, polls
from tokenflow_agent.commands.screen import ordered, picture
from tokenflow_api.telemetry import TelemetryBatch

_SPAN: Final = 5
"""Windows that a picture sums up: pods that say something every few seconds stay in it."""
_PIPE_COLUMNS: Final = 1000


def main(arguments: argparse.Namespace) -> int:
    """Show the pods once, or again and again until Ctrl-C.

    Raises:
        UsageError: the address is none.
        AwayError: they were to be shown once, and the agent does not answer.
    """
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else _PIPE_COLUMNS)
    feed = Feed(arguments.url)
    view = _View(sort=arguments.sort, namespace=arguments.namespace, lines=lambda: console.height if terminal else None)
    if arguments.once:
        console.print(view.picture(Poll(feed.fresh())))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pictures = (view.picture(poll) for poll in polls(feed, interval_s=arguments.interval))
    show = _live if terminal else _plain
    try:
        show(console, pictures)
    except KeyboardInterrupt:
        return 0
    return 0


def _live(console: Console, pictures: Iterator[RenderableType]) -> None:
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for picture_ in pictures:
            live.update(picture_, refresh=True)


def _plain(console: Console, pictures: Iterator[RenderableType]) -> None:
    for picture_ in pictures:
        console.print(picture_)


class _View:
    """Holds the last windows, and what the user wants to see of them."""

    def __init__(self, *, sort: str, namespace: str | None, lines: Callable[[], int | None]) -> None:
        self._sort = sort
        self._namespace = namespace
        self._lines = lines
        self._batches = deque[TelemetryBatch](maxlen=_SPAN)

    def picture(self, poll: Poll) -> RenderableType:
        """Return the picture after what ``poll`` brought."""
        self._batches.extend(poll.batches)
        rows = [row for row in pods(list(self._batches)) if self._namespace in (None, row.namespace)]
        last = self._batches[-1] if self._batches else None
        return picture(ordered(rows, self._sort), last=last, trouble=poll.trouble, lines=self._lines())
