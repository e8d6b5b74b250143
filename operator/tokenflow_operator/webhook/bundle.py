"""The certificates that the replicas of the webhook share, and how a Secret keeps them."""

from dataclasses import dataclass
from typing import Final

_FIELDS: Final = {"trusted": "ca.crt", "authority_key": "ca.key", "certificate": "tls.crt", "key": "tls.key"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """What replicas share, all of it PEM.

    Attributes:
        trusted: certificates of the authorities, the newest first.
        authority_key: key of the newest authority.
        certificate: what the webhook shows.
        key: of that certificate.
    """

    trusted: bytes
    authority_key: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def of(cls, data: dict[str, bytes]) -> "Bundle | None":
        """Return the bundle of a Secret's data; nothing where it holds none, or a part."""
        found = {field: data.get(name, b"") for field, name in _FIELDS.items()}
        return cls(**found) if all(found.values()) else None

    @property
    def data(self) -> dict[str, bytes]:
        """A Secret's data."""
        return {name: getattr(self, field) for field, name in _FIELDS.items()}
