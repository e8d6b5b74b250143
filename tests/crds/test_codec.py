import msgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.codec import MAX_DOCUMENT_BYTES, MAX_ENCODED_BYTES, decode, encode
from tokenflow_api.errors import CodecError
from tokenflow_api.telemetry import Direction, Reporter, Signal, SignalState, TcpWindows, TelemetryBatch


def batch(rows: int) -> TelemetryBatch:
    return TelemetryBatch(
        reporter=Reporter.AGENT,
        agent="default/nodes",
        node="node1",
        boot_id="b",
        sequence=1,
        sent_at_unix_ms=5,
        tcp=TcpWindows(
            start_unix_ms=[1] * rows,
            pod_namespace=["n"] * rows,
            pod_name=["p"] * rows,
            pod_uid=["u"] * rows,
            direction=[Direction.SERVED] * rows,
            service_port=[8000] * rows,
            destination_class=["10.0.0.0/24"] * rows,
            segments=[3] * rows,
            rtt_sum_us=[30] * rows,
            rtt_min_us=[9] * rows,
            rtt_max_us=[11] * rows,
            retransmits=[0] * rows,
        ),
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
