"""A snapshot as it travels: each hint encoded once, by the leader, and cut out as bytes wherever it is served.

Lines, of which the encoding of JSON leaves none inside a document: the snapshot without its lists, what only roles may
read of it, the index of the hints, and the hints in that order. A replica decodes the first three.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from tokenflow_api.hints import ALL_PATHS, Snapshot
from tokenflow_hintsvc.errors import StoreError

_DETAILS: Final = {"nodes", "model", "shadow"}
"""Fields for roles alone: a tenant learns nothing of the cluster behind its hints."""
_HINTS: Final = "hints"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedSnapshot:
    """A snapshot whose hints are JSON already.

    Attributes:
        term: of the leader.
        version: of the snapshot within the term.
        generation: of the policy that it was computed with.
        at_unix_ms: when it was computed.
        ttl_ms: how long it may be trusted.
        health: of the whole, 0 to 1.
        rates: tokens per second of each tenant, where no narrower path is known.
        hints: JSON of each tenant's hints by path.
        public: JSON of all fields but the hints and the details.
        details: JSON of those for roles alone.
    """

    term: int
    version: int
    generation: int
    at_unix_ms: int
    ttl_ms: int
    health: float
    rates: Mapping[str, float]
    hints: Mapping[str, Mapping[str, bytes]]
    public: bytes
    details: bytes

    @property
    def identity(self) -> tuple[int, int]:
        """Term and version: they grow with each snapshot."""
        return self.term, self.version

    def hint(self, tenant: str, path: str) -> bytes | None:
        """Return the JSON of the hint for a path, or for all paths of the tenant where that one is not known."""
        paths = self.hints.get(tenant, {})
        return paths.get(path) or paths.get(ALL_PATHS)

    def document(self, tenants: Collection[str], *, detailed: bool) -> bytes:
        """Return the JSON of a ``Snapshot`` with the hints of ``tenants`` alone.

        Args:
            tenants: whose hints it holds.
            detailed: whether it tells of nodes and of the model.
        """
        hints = b",".join(chain.from_iterable(paths.values() for name, paths in self.hints.items() if name in tenants))
        details = b"," + self.details[1:-1] if detailed else b""
        return b'%b%b,"hints":[%b]}' % (self.public[:-1], details, hints)

    def snapshot(self) -> Snapshot:
        """Return it decoded: this takes milliseconds where there are many hints."""
        return Snapshot.model_validate_json(self.document(self.hints.keys(), detailed=True))


def pack(snapshot: Snapshot) -> bytes:
    """Return a snapshot in the form that it travels in."""
    # Where nothing is changed, what would be is the figure of interest.
    computed = snapshot.shadow or snapshot.hints
    index = [(hint.tenant, hint.path, hint.tokens_per_second) for hint in computed]
    return b"\n".join(
        (
            snapshot.model_dump_json(exclude={_HINTS, *_DETAILS}).encode(),
            snapshot.model_dump_json(include=_DETAILS).encode(),
            json.dumps(index).encode(),
            *(hint.model_dump_json().encode() for hint in snapshot.hints),
        )
    )


def unpack(data: bytes) -> PackedSnapshot:
    """Return the snapshot that ``data`` holds.

    Raises:
        StoreError: it is none, or of another release.
    """
    try:
        public, details, index, *documents = data.split(b"\n")
        head = json.loads(public)
        hints: dict[str, dict[str, bytes]] = {}
        rates: dict[str, float] = {}
        for (tenant, path, rate), document in zip(json.loads(index), documents, strict=True):
            hints.setdefault(tenant, {})[path] = document
            if path == ALL_PATHS:
                rates[tenant] = rate
        return PackedSnapshot(
            term=head["term"],
            version=head["version"],
            generation=head["generation"],
            at_unix_ms=head["at_unix_ms"],
            ttl_ms=head["ttl_ms"],
            health=head["health"],
            rates=rates,
            hints=hints,
            public=public,
            details=details,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"a snapshot cannot be read: {error}") from error
