"""A conversation with a model, and what its streams are like."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
from pydantic import BaseModel, ValidationError

from tokenflow_api.hints import ALL_PATHS
from tokenflow_client._command.completion import Answer, complete
from tokenflow_client._command.endpoint import CONNECT_S, Endpoint, connecting
from tokenflow_client._command.errors import CommandError
from tokenflow_client._command.meter import Meter, Told
from tokenflow_client._command.terminal import StatusLine, dim, printable
from tokenflow_client._follower import HintFollower

HELP: Final = "/model NAME talks to another model, /clear forgets the conversation, /quit ends"
_REFRESH_S: Final = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How to chat.

    Attributes:
        endpoint: the gateway.
        hints: the hint service, as the same caller; ``None`` shows only what the answers' headers say.
        model: model to talk to; empty is the first that is served.
        system: what the model is told first; empty is nothing.
        max_tokens: most tokens of an answer; ``None`` leaves it to the engine.
        reading_rate: tokens per second at which the answers are read.
        silence_s: longest wait for the next part of an answer.
    """

    endpoint: Endpoint
    hints: Endpoint | None
    model: str
    system: str
    max_tokens: int | None
    reading_rate: float
    silence_s: float


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


class Conversation:
    """What was said so far, and who is talked to."""

    def __init__(self, settings: Settings, status: StatusLine) -> None:
        self._settings = settings
        self._status = status
        with connecting():
            self._client = httpx.AsyncClient(timeout=httpx.Timeout(settings.silence_s, connect=CONNECT_S))
        self._model = settings.model
        self._said: list[dict[str, str]] = []

    async def choose(self) -> None:
        """Take the first model that is served, if none was named.

        Raises:
            CommandError: the endpoint names none.
        """
        if self._model:
            return
        endpoint = self._settings.endpoint
        try:
            answer = await self._client.get(f"{endpoint.url}/v1/models", headers=endpoint.headers())
            self._model = _Models.model_validate_json(answer.raise_for_status().content).data[0].id
        except httpx.HTTPError as error:
            raise CommandError(f"{endpoint.url} does not tell its models ({error}): name one with --model") from error
        except (ValidationError, IndexError) as error:
            raise CommandError(f"{endpoint.url} names no model: name one with --model") from error

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    def steer(self, line: str) -> str:
        """Do what a line that begins with a slash says, and return what there is to say to it."""
        match line.split():
            case ["/clear"]:
                self._said.clear()
                return "the conversation is forgotten"
            case ["/model"]:
                return self._model
            case ["/model", name]:
                self._model = name
                return f"talking to {name}"
            case _:
                return HELP

    async def ask(self, line: str) -> None:
        """Say ``line``, and print the answer as it comes.

        Raises:
            CompletionError: it was refused, or broke off.
        """
        asked, parts = {"role": "user", "content": line}, list[str]()
        meter = Meter(start_s=time.monotonic(), reading_rate=self._settings.reading_rate)
        try:
            async with complete(self._client, self._settings.endpoint, self._body(asked)) as answer:
                async with self._watching(answer, meter):
                    async for piece in answer.pieces():
                        meter.add(piece)
                        parts.append(piece.text)
                        sys.stdout.write(printable(piece.text))
                        sys.stdout.flush()
                figures = meter.whole(rtt_us=answer.rtt_us())
        finally:
            if parts:
                # What was read of an answer that was stopped is part of the conversation too.
                self._said += [asked, {"role": "assistant", "content": "".join(parts)}]
                sys.stdout.write("\n")
        where = sys.stdout if sys.stdout.isatty() else sys.stderr
        where.write(dim(f"[{figures}]", where) + "\n")

    def _body(self, asked: dict[str, str]) -> dict[str, Any]:
        settings = self._settings
        first = [{"role": "system", "content": settings.system}] if settings.system else []
        body: dict[str, Any] = {"model": self._model, "messages": [*first, *self._said, asked]}
        return body if settings.max_tokens is None else body | {"max_tokens": settings.max_tokens}

    @asynccontextmanager
    async def _watching(self, answer: Answer, meter: Meter) -> AsyncIterator[None]:
        """Keep the status line true while an answer streams."""
        hints = self._settings.hints
        follower = HintFollower(hints.url, token=lambda: hints.api_key) if hints else None
        tasks = [asyncio.create_task(self._refresh(answer, meter, follower))]
        if follower:
            tasks.append(asyncio.create_task(follower.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self, answer: Answer, meter: Meter, follower: HintFollower | None) -> None:
        while True:
            told = self._newest(follower) or Told.of(answer.headers)
            self._status.show(meter.live(now_s=time.monotonic(), told=told, rtt_us=answer.rtt_us()))
            await asyncio.sleep(_REFRESH_S)

    def _newest(self, follower: HintFollower | None) -> Told | None:
        if follower is None or follower.snapshot is None:
            return None
        tenant = self._settings.endpoint.tenant
        mine = (hint for hint in follower.snapshot.hints if hint.path == ALL_PATHS and tenant in {"", hint.tenant})
        hint = next(mine, None)
        return Told.by(hint) if hint else None
