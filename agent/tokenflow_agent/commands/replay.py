"""``tokenflow-agent replay FILE``: sends recorded windows to a hint service."""

import argparse
import asyncio
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Final

from tokenflow_agent.commands.answers import address
from tokenflow_agent.commands.grammar import TABLES
from tokenflow_agent.commands.player import Player
from tokenflow_agent.commands.recording.reading import read
from tokenflow_agent.delivery.sender import Context, Delivery
from tokenflow_agent.errors import AwayError, UsageError
from tokenflow_api.clock import Clock
from tokenflow_api.projected_tokens import read_token
from tokenflow_api.telemetry import IngestAddress

GIVE_UP_S: Final = 60.0
"""Time without a window that was taken after which the replay ends."""
LOOK_S: Final = 1.0
"""Between two looks at how delivery fares."""


def main(arguments: argparse.Namespace) -> int:
    """Send the windows, or say what would be sent; return 1 where some were refused.

    Raises:
        UsageError: the address or the token is none.
        RecordingError: the recording is none, or is damaged.
        AwayError: the hint service takes nothing.
    """
    if arguments.dry_run:
        _describe(arguments.file, speed=arguments.speed)
        return 0
    address(arguments.to)
    if not arguments.token_file.is_file():
        raise UsageError(
            f"there is no token in {arguments.token_file}: run 'kubectl create token NAME-agent --audience"
            " tokenflow-hintsvc > FILE', NAME being the TelemetryAgent, and name the file by --token-file"
        )
    return asyncio.run(_replay(arguments))


async def _replay(arguments: argparse.Namespace) -> int:
    player = Player(read(arguments.file), boot_id=uuid.uuid4().hex, node=arguments.as_node, speed=arguments.speed)
    context = Context(token=lambda: read_token(arguments.token_file), on_reply=lambda _: None, clock=Clock())
    delivery = Delivery(IngestAddress(policy="replay", url=arguments.to), queue=player, context=context)
    tasks = [asyncio.create_task(each) for each in (delivery.run(), _watch(delivery), player.wait_ended())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(delivery.outcomes.items()))
        _say(f"windows: {told or 'none'}")
    return 1 if delivery.outcomes["refused"] else 0


async def _watch(delivery: Delivery) -> None:
    """Say why nothing is taken.

    Raises:
        AwayError: nothing was taken for ``GIVE_UP_S``.
    """
    told, taken, idle_s = "", 0, 0.0
    while idle_s < GIVE_UP_S:
        await asyncio.sleep(LOOK_S)
        stuck = delivery.message and delivery.outcomes["sent"] == taken
        idle_s = idle_s + LOOK_S if stuck else 0.0
        taken = delivery.outcomes["sent"]
        if delivery.message not in ("", told):
            told = delivery.message
            _say(told)
    raise AwayError(f"nothing was taken for {GIVE_UP_S:.0f} s: {told}")


def _describe(path: Path, *, speed: float) -> None:
    rows = Counter[str]()
    nodes: set[str] = set()
    windows, first_ms, last_ms = 0, 0, 0
    for batch in read(path):
        rows.update({table: len(getattr(batch, table)) for table in TABLES})
        nodes.add(batch.node)
        last_ms = batch.sent_at_unix_ms
        first_ms = first_ms or last_ms
        windows += 1
    span_s = (last_ms - first_ms) / 1000
    where = ", ".join(sorted(nodes)) or "no node"
    lines = [f"{windows} windows of {where} over {span_s:.0f} s; they are sent within {span_s / speed:.0f} s"]
    lines += [f"{table:<14}{count} rows" for table, count in rows.items() if count]
    sys.stdout.write("\n".join(lines) + "\n")


def _say(words: str) -> None:
    print(f"tokenflow-agent replay: {words}", file=sys.stderr)  # noqa: T201 - a command line's words
