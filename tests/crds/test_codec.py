from typing import Any

import msgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.codec import MAX_DOCUMENT_BYTES, MAX_ENCODED_BYTES, decode, encode
from tokenflow_api.errors import CodecError
from tokenflow_api.telemetry import Reporter, Signal, SignalState, TelemetryBatch
from tokenflow_api.windows import Direction, TcpWindows


def batch(rows: int) -> TelemetryBatch:
    texts = {"pod_namespace": "n", "pod_name": "p", "pod_uid": "u", "destination_class": "10.0.0.0/24"}
    row: dict[str, Any] = dict.fromkeys(TcpWindows.model_fields, 3) | texts | {"direction": Direction.SERVED}
    columns = {name: [value] * rows for name, value in row.items()}
    return TelemetryBatch(
        reporter=Reporter.AGENT,
        agent="default/nodes",
        node="node1",
        boot_id="b",
        sequence=1,
        sent_at_unix_ms=5,
        tcp=TcpWindows(**columns),
        signals=[Signal(name="GPU", state=SignalState.OFF)],
    )


@given(rows=st.integers(0, 50))
def test_a_batch_comes_back_as_it_was(rows: int) -> None:
    assert decode(encode(batch(rows)), TelemetryBatch) == batch(rows)


@given(noise=st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(CodecError):
        decode(noise, TelemetryBatch)


@given(noise=st.binary(max_size=300))
def test_compressed_noise_is_refused_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(CodecError):
        decode(zstandard.compress(noise), TelemetryBatch)


def test_what_is_too_large_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(CodecError, match="above the bound"):
        decode(b"x" * (MAX_ENCODED_BYTES + 1), TelemetryBatch)
    bomb = zstandard.compress(b"\0" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(CodecError, match="unpacks to more"):
        decode(bomb, TelemetryBatch)


def test_columns_of_unequal_length_are_refused() -> None:
    document = batch(2).model_dump(mode="json")
    document["tcp"]["segments"] = [1]
    with pytest.raises(CodecError, match="differ in length"):
        decode(zstandard.compress(msgpack.packb(document)), TelemetryBatch)
