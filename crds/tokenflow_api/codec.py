"""How telemetry travels: msgpack, compressed by zstd.

Bounds come before parsing: what claims to unpack to more than ``MAX_DOCUMENT_BYTES`` is
refused unread. Kept out of the package's front door, because the client SDK needs neither
library.
"""

import threading
from typing import Any, Final, TypeVar

import msgpack
import zstandard
from pydantic import ValidationError

from tokenflow_api._base import WireModel
from tokenflow_api.errors import CodecError
from tokenflow_api.faults import first_fault
from tokenflow_api.windows import MAX_ROWS

CONTENT_TYPE: Final = "application/vnd.tokenflow.telemetry+msgpack"
MAX_ENCODED_BYTES: Final = 1 << 20
MAX_DOCUMENT_BYTES: Final = 4 << 20

_MAX_FIELDS: Final = 64

WireModelT = TypeVar("WireModelT", bound=WireModel)


class _Decompressor(threading.local):
    """One for each thread: making it takes longer than a batch."""

    def __init__(self) -> None:
        self.zstd = zstandard.ZstdDecompressor()


_DECOMPRESSOR: Final = _Decompressor()


def encode(document: WireModel) -> bytes:
    """Return the document's wire form."""
    packed: bytes = msgpack.packb(document.model_dump(mode="json"))
    return zstandard.ZstdCompressor(level=1).compress(packed)


def decode(data: bytes, model: type[WireModelT]) -> WireModelT:
    """Return the document that ``data`` holds.

    Raises:
        CodecError: too large, not zstd, not msgpack, or not such a document.
    """
    if len(data) > MAX_ENCODED_BYTES:
        raise CodecError(f"{len(data)} bytes are above the bound of {MAX_ENCODED_BYTES}: send fewer windows at once")
    return _validate(_unpack(_decompress(data)), model)


def _decompress(data: bytes) -> bytes:
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size > MAX_DOCUMENT_BYTES:
            raise CodecError(f"it unpacks to more than {MAX_DOCUMENT_BYTES} bytes: send fewer windows at once")
        return _DECOMPRESSOR.zstd.decompress(data, max_output_size=MAX_DOCUMENT_BYTES)
    except zstandard.ZstdError as error:
        raise CodecError(f"the body is not zstd: {error}") from error


def _unpack(packed: bytes) -> Any:
    try:
        return msgpack.unpackb(packed, max_array_len=MAX_ROWS, max_map_len=_MAX_FIELDS)
    except (ValueError, msgpack.UnpackException) as error:
        raise CodecError(f"the body is not msgpack: {error}") from error


def _validate(document: object, model: type[WireModelT]) -> WireModelT:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise CodecError(first_fault(error)) from error
