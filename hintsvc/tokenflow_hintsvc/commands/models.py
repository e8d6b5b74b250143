"""``models``: the registry of the models that a policy may serve."""

import argparse
import asyncio
import socket
import sys
import time
from datetime import UTC, datetime

from tokenflow_api.audit import AuditEntry, Outcome
from tokenflow_hintsvc.commands.telemetry import policy
from tokenflow_hintsvc.learn import folder
from tokenflow_hintsvc.learn.card import ModelCard
from tokenflow_hintsvc.learn.errors import RegistryError
from tokenflow_hintsvc.learn.judging import table
from tokenflow_hintsvc.store.audit import AuditLog
from tokenflow_hintsvc.store.connection import Connection
from tokenflow_hintsvc.store.models import Models


def main(arguments: argparse.Namespace) -> int:
    """Do what is asked of the registry.

    Raises:
        LearnError: there is no such model, or it is not sound.
        StoreError: Redis does not answer.
        UsageError: no policy is named.
    """
    asyncio.run(_act(arguments))
    return 0


async def _act(arguments: argparse.Namespace) -> None:
    async with policy(arguments) as connection:
        models = Models(connection)
        match arguments.action:
            case "list":
                _list(await models.cards(), promoted=await models.promoted())
            case "show":
                _show(await models.cards(), version=arguments.model)
            case "push":
                card = await models.push(await asyncio.to_thread(folder.read, arguments.model))
                await _record(connection, "ModelPushed", card.version)
                _say(f"model {card.version} is pushed; serve it with 'models promote {card.version}'")
            case "promote":
                await models.promote(arguments.model)
                await _record(connection, "ModelPromoted", arguments.model)
                _say(f"model {arguments.model} is promoted")
            case "rollback":
                version = await models.roll_back()
                await _record(connection, "ModelRolledBack", version)
                _say(f"model {version} is promoted again")
            case "remove":
                await models.remove(arguments.model)
                await _record(connection, "ModelRemoved", arguments.model)
                _say(f"model {arguments.model} is removed")


async def _record(connection: Connection, action: str, version: str) -> None:
    """Leave word beside what the replicas record."""
    entry = AuditEntry(
        at_unix_ms=time.time_ns() // 1_000_000,
        replica=socket.gethostname(),
        outcome=Outcome.DONE,
        action=action,
        subject="command line",
        reason=f"model {version}",
    )
    await AuditLog(connection).append([entry])


def _list(cards: list[ModelCard], *, promoted: str) -> None:
    for card in cards:
        created = datetime.fromtimestamp(card.created_unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        whole = card.judgement.whole
        mark = "promoted" if card.version == promoted else ""
        _say(
            f"{card.version}  {created}  mae {whole.mae_us:.1f} us"
            f"  {whole.baseline} {whole.baseline_mae_us:.1f} us  {mark}".rstrip()
        )


def _show(cards: list[ModelCard], *, version: str) -> None:
    card = next((card for card in cards if card.version == version), None)
    if card is None:
        raise RegistryError(f"there is no model {version}: see 'tokenflow-hintsvc models list'")
    _say(f"{table(card.judgement)}\n{card.model_dump_json(indent=2, exclude={'judgement', 'trees'})}")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
