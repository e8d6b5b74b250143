"""Reservations as their holders carry them: opaque, signed, and readable by every replica."""

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Final

from tokenflow_hintsvc.errors import ReservationError

MAX_LENGTH: Final = 256
"""Characters of the longest one, with the longest name of a tenant."""
KEY_BYTES: Final = 32
BOOT_BYTES: Final = 8
_MAC_BYTES: Final = 16
_LAYOUT: Final = struct.Struct(">B8sIQIQ?")
_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Room that was made for one request.

    Attributes:
        tenant: whose.
        boot: which start of a replica made it.
        number: of it, unique for ``boot``.
        bucket: of the shared minute that it was charged to; 0 where it was not charged.
        tokens: that were reserved.
        stream: whether it holds one of the tenant's streams.
        expires_ms: when it ends without a commit, in Unix milliseconds by Redis' clock.
    """

    tenant: str
    boot: bytes
    number: int
    bucket: int
    tokens: int
    stream: bool
    expires_ms: int


class Signer:
    """Signs with the policy's key, and still knows the one before it."""

    def __init__(self, key: bytes) -> None:
        self._keys = [key]

    @property
    def key(self) -> bytes:
        """The key in force."""
        return self._keys[0]

    def adopt(self, key: bytes) -> None:
        """Sign with another key from now on."""
        if key != self.key:
            self._keys = [key, self.key]

    def sign(self, reservation: Reservation) -> str:
        """Return the reservation as its holder carries it."""
        fields = _LAYOUT.pack(
            _VERSION,
            reservation.boot,
            reservation.number,
            reservation.bucket,
            reservation.tokens,
            reservation.expires_ms,
            reservation.stream,
        )
        payload = fields + reservation.tenant.encode()
        return base64.urlsafe_b64encode(_mac(self.key, payload) + payload).decode()

    def read(self, signed: str) -> Reservation:
        """Return the reservation that somebody carries.

        Raises:
            ReservationError: no replica of this policy made it.
        """
        if len(signed) > MAX_LENGTH or not signed.isascii():
            raise ReservationError("it is no reservation")
        try:
            data = base64.b64decode(signed, altchars=b"-_", validate=True)
        except ValueError as error:
            raise ReservationError("it is no reservation") from error
        mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(key, payload)) for key in self._keys):
            raise ReservationError("it was not made by this service, or longer ago than it keeps its keys")
        _, boot, number, bucket, tokens, expires_ms, stream = _LAYOUT.unpack_from(payload)
        return Reservation(
            tenant=payload[_LAYOUT.size :].decode(),
            boot=boot,
            number=number,
            bucket=bucket,
            tokens=tokens,
            stream=stream,
            expires_ms=expires_ms,
        )


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, hashlib.sha256)[:_MAC_BYTES]
