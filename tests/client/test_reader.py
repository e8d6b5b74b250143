"""Reading one hint at a time, from servers that mean no good."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tokenflow_client import HintFollower, HintReader, HintsUnavailableError
from tokenflow_client import _reader as module


class Body(httpx.AsyncByteStream):
    """A body that never ends, or never begins."""

    def __init__(self, *, silent: bool = False) -> None:
        self.sent = 0
        self._silent = silent

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._silent:
                await asyncio.Event().wait()
            self.sent += 1000
            yield b"x" * 1000


def reader(client: httpx.AsyncClient) -> HintReader:
    return HintFollower("http://hints", client=client).reader("gold")


@pytest.mark.parametrize(
    ("status", "words", "most"), [(200, "more than 64 KiB: check the URL", 66_000), (404, "answered 404: xxx", 1000)]
)
async def test_an_answer_without_an_end_is_not_kept(status: int, words: str, most: int) -> None:
    body = Body()
    transport = httpx.MockTransport(lambda _: httpx.Response(status, stream=body))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(HintsUnavailableError, match=words):
            await reader(client).read()
    assert body.sent == most


async def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_S", 0.01)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Body(silent=True)))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(HintsUnavailableError, match="did not answer within"):
            await reader(client).read()
