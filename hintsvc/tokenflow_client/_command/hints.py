"""``tokenflow hints``: how fast streams may run, once or as it changes."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from tokenflow_api.hints import ALL_PATHS, Hint, HintReply, Snapshot
from tokenflow_client._command.endpoint import CONNECT_S, Endpoint, connecting
from tokenflow_client._command.errors import CommandError
from tokenflow_client._command.terminal import printable
from tokenflow_client._follower import HintFollower

LOOK_S: Final = 0.5
"""Seconds between two looks at whether the service can be reached."""
_WORDS: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which hints to tell.

    Attributes:
        tenant: its name; empty is all that the caller may read.
        path: ``<upstream>/<class>``; empty is all.
    """

    tenant: str
    path: str

    def among(self, hints: Sequence[Hint]) -> list[Hint]:
        """Return those of ``hints`` that are wanted, by tenant and path."""
        chosen = (hint for hint in hints if self.tenant in {"", hint.tenant} and self.path in {"", hint.path})
        return sorted(chosen, key=lambda hint: (hint.tenant, hint.path))


def once(service: Endpoint, wanted: Wanted, *, as_json: bool) -> int:
    """Print the hint of a tenant.

    Raises:
        CommandError: the service is out of reach, or refused.
    """
    if not wanted.tenant:
        raise CommandError("name whose hint to read with --tenant, or add --watch to follow all of yours")
    url = f"{service.url}/v1/hints/{quote(wanted.tenant, safe='')}"
    with connecting():
        pool = httpx.Client(timeout=CONNECT_S)
    try:
        with pool as client:
            answer = client.get(url, params={"path": wanted.path or ALL_PATHS}, headers=service.headers())
    except httpx.HTTPError as error:
        raise CommandError(f"{service.url} cannot be reached ({error}): check the URL of the hint service") from error
    if answer.is_error:
        raise CommandError(f"{url} answered {answer.status_code}: {printable(_words(answer))}")
    try:
        reply = HintReply.model_validate_json(answer.content)
    except ValidationError as error:
        raise CommandError(f"{url} is no hint service of this release: {error}") from error
    sys.stdout.write(answer.text.strip() + "\n" if as_json else table([reply.hint]))
    return 0


def watch(service: Endpoint, wanted: Wanted, *, as_json: bool) -> int:
    """Print hints as they change, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(service, wanted, as_json=as_json))
    return 0


async def _watch(service: Endpoint, wanted: Wanted, *, as_json: bool) -> None:
    def show(snapshot: Snapshot) -> None:
        _show(snapshot, wanted, as_json=as_json)

    follower = HintFollower(service.url, token=lambda: service.api_key, on_snapshot=show)
    following = asyncio.create_task(follower.run())
    told = ""
    try:
        while not following.done():
            await asyncio.wait([following], timeout=LOOK_S)
            if follower.failure != told:
                told = follower.failure
                sys.stderr.write(f"{printable(told)}; trying again\n" if told else "")
    finally:
        following.cancel()
        (ended,) = await asyncio.gather(following, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended


def _show(snapshot: Snapshot, wanted: Wanted, *, as_json: bool) -> None:
    hints = wanted.among(snapshot.hints)
    if as_json:
        chosen = snapshot.model_copy(update={"hints": hints})
        sys.stdout.write(chosen.model_dump_json(by_alias=True) + "\n")
    else:
        clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() else ""
        sys.stdout.write(f"{clear}health {snapshot.health:.0%}, snapshot {snapshot.version}\n{table(hints)}")
    sys.stdout.flush()


def table(hints: Sequence[Hint]) -> str:
    """Return hints as lines of text."""
    if not hints:
        return "no hints: nobody streams, or they are not yours to read\n"
    rows = [("TENANT", "PATH", "TOKENS/S", "BATCH", "STATE", "HEALTH", "ADMISSION", "BECAUSE OF")]
    rows += [
        (
            hint.tenant,
            hint.path,
            f"{hint.tokens_per_second:.1f}",
            str(hint.batch_size),
            str(hint.state),
            f"{hint.health:.0%}",
            str(hint.admission),
            ", ".join(hint.reasons) or "-",
        )
        for hint in hints
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return printable("\n".join(lines)) + "\n"


def _words(answer: httpx.Response) -> str:
    """Return what a refusal says: problem details (RFC 9457) where it has them."""
    try:
        told = answer.json()
        return f"{told['detail']} {told.get('remedy', '')}".strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.text[:_WORDS].strip()
