"""Carries bytes: ``LISTEN_PORT TARGET_PORT`` hands on every connection until killed."""

import asyncio
import contextlib
import sys
from typing import Final

_HOST: Final = "127.0.0.1"
_CHUNK: Final = 1 << 16


async def relay(port: int, target: int) -> None:
    """Carry what comes to ``port`` to ``target`` and back, until killed."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(_HOST, target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))

    async with await asyncio.start_server(carry, _HOST, port) as server:
        await server.serve_forever()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(relay(int(sys.argv[1]), int(sys.argv[2])))
