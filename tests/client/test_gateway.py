"""The SDK behind a real gateway that leaves."""

import asyncio
from pathlib import Path

import pytest

from e2e.upstream import words
from tests.client.hint_service import FakeHintService
from tests.gateway.support import hint, running
from tokenflow_client import Options, StreamInterruptedError, TokenFlow


async def test_a_gateway_that_leaves_says_where_to_go_on(hints: FakeHintService, tmp_path: Path) -> None:
    async with running(tmp_path) as gateway, TokenFlow(hints.url, options=Options(fallback=1000.0)) as tf:
        await gateway.told(hint(50.0, batch=4, delay_ms=50))
        stream = await tf.wrap(gateway.client).chat.completions.create(
            model="llama-3", messages=[{"role": "user", "content": "hi"}], max_tokens=4000, stream=True
        )
        pieces = list[str]()

        async def read() -> None:
            async for chunk in stream:
                pieces.append(chunk.choices[0].delta.content or "")
                if len(pieces) == 10:
                    gateway.gateway.streams.drain(asyncio.get_running_loop().time())

        with pytest.raises(StreamInterruptedError) as raised:
            await read()
    assert raised.value.text == "".join(pieces) == "".join(words(raised.value.tokens))
