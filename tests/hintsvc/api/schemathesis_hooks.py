"""What a fuzzer needs to know of the API besides its document: how telemetry travels."""

import msgpack
import schemathesis
import zstandard

from tokenflow_api.codec import CONTENT_TYPE


@schemathesis.serializer(CONTENT_TYPE)
def telemetry(_: object, value: object) -> bytes:
    """Pack what msgpack can, and send the rest as it stands."""
    try:
        packed = msgpack.packb(value)
    except (OverflowError, ValueError, TypeError):
        packed = repr(value).encode(errors="replace")
    return zstandard.ZstdCompressor(level=1).compress(packed)
