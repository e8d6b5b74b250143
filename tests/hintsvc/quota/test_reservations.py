"""Reservations as their holders carry them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_hintsvc.errors import ReservationError
from tokenflow_hintsvc.quota.reservations import MAX_LENGTH, Reservation, Signer

RESERVATION = Reservation(
    tenant="gold",
    boot=b"8 bytes.",
    number=7,
    bucket=7_181_059_460,
    tokens=4096,
    stream=True,
    expires_ms=1_800_000_000_000,
)


def test_every_replica_with_the_key_reads_it() -> None:
    signed = Signer(b"k" * 32).sign(RESERVATION)
    assert Signer(b"k" * 32).read(signed) == RESERVATION


def test_it_fits_with_the_longest_name() -> None:
    longest = Reservation(
        tenant="t" * 63, boot=b"\xff" * 8, number=2**32 - 1, bucket=2**63, tokens=10**9, stream=True, expires_ms=2**63
    )
    signed = Signer(b"k" * 32).sign(longest)
    assert len(signed) <= MAX_LENGTH
    assert Signer(b"k" * 32).read(signed) == longest


@given(at=st.integers(0, 10**6), by=st.integers(1, 255))
def test_one_changed_byte_makes_it_worthless(at: int, by: int) -> None:
    signer = Signer(b"k" * 32)
    data = bytearray(base64.urlsafe_b64decode(signer.sign(RESERVATION)))
    data[at % len(data)] ^= by
    with pytest.raises(ReservationError):
        signer.read(base64.urlsafe_b64encode(bytes(data)).decode())


@given(garbage=st.text(max_size=512))
def test_garbage_is_refused(garbage: str) -> None:
    with pytest.raises(ReservationError):
        Signer(b"k" * 32).read(garbage)


def test_the_key_before_still_counts_and_no_older_one() -> None:
    signer = Signer(b"1" * 32)
    first = signer.sign(RESERVATION)
    signer.adopt(b"2" * 32)
    assert signer.read(first) == RESERVATION
    assert Signer(b"2" * 32).read(signer.sign(RESERVATION)) == RESERVATION
    signer.adopt(b"3" * 32)
    with pytest.raises(ReservationError):
        signer.read(first)
