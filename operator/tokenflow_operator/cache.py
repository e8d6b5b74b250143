"""What the cluster holds, as watches and our own writes tell it, so that a pass reads nothing from the API.

The two tell of the same object in any order: the newest version stays, and what was deleted does not come back.
Contents are kept as JSON and read anew at each use: a tenth of the memory, and no two readers share a manifest.
"""

import json
import zlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from tokenflow_operator.keys import OWNER_LABEL
from tokenflow_operator.kube import Kind, Manifest
from tokenflow_operator.trim import trimmed

_MAX_DELETED: Final = 4096
"""UIDs of deleted objects that are remembered: more than watches can be behind by."""

_LARGE: Final = 2048
"""Bytes from which on an object is kept compressed: dashboards and runtime configs make up most of the cache."""
_PACKED: Final = b"x"
"""How compressed data begins, and JSON never does."""

Name = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What is kept of an object before and after; nothing where it came or went."""

    kind: Kind
    before: Manifest | None
    after: Manifest | None


@dataclass(kw_only=True, slots=True)
class _Entry:
    version: int
    uid: str
    owner: str
    content: bytes


class Cache:
    """The newest known version of each object, and which belong to whom by the owner's label.

    Attributes:
        served: the optional kinds that the API serves at present.
    """

    def __init__(self) -> None:
        self.served: frozenset[Kind] = frozenset()
        self._entries: defaultdict[str, dict[Name, _Entry]] = defaultdict(dict)
        self._owned: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._deleted: OrderedDict[str, int] = OrderedDict()
        self._revisions: Counter[str] = Counter()

    def put(self, kind: Kind, manifest: Manifest) -> Change | None:
        """Take an object as it was told; nothing is returned unless that changes what is kept of it."""
        meta = manifest["metadata"]
        name: Name = (meta.get("namespace", ""), meta["name"])
        uid, version = meta["uid"], int(meta["resourceVersion"])
        entry = self._entries[kind.kind].get(name)
        if self._deleted.get(uid, -1) >= version or (entry is not None and entry.version >= version):
            return None
        content = _encoded(trimmed(kind, manifest))
        if entry is not None and entry.content == content:
            entry.version = version
            return None
        if entry is not None:
            self._remove(kind, name)
        owner = meta.get("labels", {}).get(OWNER_LABEL, "")
        self._entries[kind.kind][name] = _Entry(version=version, uid=uid, owner=owner, content=content)
        if owner:
            self._owned[kind.kind, name[0], owner].add(name[1])
        self._revisions[kind.kind] += 1
        return Change(kind=kind, before=_manifest(kind, entry), after=_decoded(kind, content))

    def knows(self, kind: Kind, manifest: Manifest) -> bool:
        """Return whether an object is known in this version or a later one; its metadata are enough to tell."""
        meta = manifest["metadata"]
        entry = self._entries[kind.kind].get((meta.get("namespace", ""), meta["name"]))
        return entry is not None and entry.uid == meta["uid"] and entry.version >= int(meta["resourceVersion"])

    def drop(self, kind: Kind, manifest: Manifest) -> Change | None:
        """Forget an object that was deleted, unless another of its name has taken its place.

        A watch of a label tells the same of an object that has lost it: that one comes back with a later version.
        What is said to be gone without a version is forgotten until it is told of again.
        """
        meta = manifest["metadata"]
        name: Name = (meta.get("namespace", ""), meta["name"])
        entry = self._entries[kind.kind].get(name)
        if (version := meta.get("resourceVersion")) is not None:
            self._bury(meta["uid"], int(version))
        late = entry is not None and version is not None and entry.version > int(version)
        if entry is None or entry.uid != meta["uid"] or late:
            return None
        self._remove(kind, name)
        return Change(kind=kind, before=_manifest(kind, entry), after=None)

    def retain(self, kind: Kind, uids: Collection[str], *, version: int) -> list[Change]:
        """Forget all objects of a kind that a whole listing did not show.

        Args:
            kind: that was listed.
            uids: of the objects that the listing showed.
            version: of the listing; what came later stays.
        """
        gone = [
            (name, entry)
            for name, entry in self._entries[kind.kind].items()
            if entry.uid not in uids and entry.version <= version
        ]
        for name, entry in gone:
            self._bury(entry.uid, version)
            self._remove(kind, name)
        return [Change(kind=kind, before=_manifest(kind, entry), after=None) for _, entry in gone]

    def forget(self, kind: Kind) -> None:
        """Forget a kind that the API no longer serves."""
        for name in list(self._entries[kind.kind]):
            self._remove(kind, name)

    def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest | None:
        """Return what is kept of one object."""
        return _manifest(kind, self._entries[kind.kind].get((namespace, name)))

    def all(self, kind: Kind) -> Iterator[Manifest]:
        """Yield all objects of a kind."""
        return (_decoded(kind, entry.content) for entry in self._entries[kind.kind].values())

    def names(self, kind: Kind) -> list[Name]:
        """Return the names of all objects of a kind."""
        return list(self._entries[kind.kind])

    def revision(self, kind: Kind) -> int:
        """Return a number that stays as long as no object of a kind changes."""
        return self._revisions[kind.kind]

    def content(self, kind: Kind, *, namespace: str, name: str) -> bytes | None:
        """Return what is kept of one object as it is kept: the same bytes as long as it has not changed."""
        entry = self._entries[kind.kind].get((namespace, name))
        return entry.content if entry else None

    def owned(self, kind: Kind, *, namespace: str, owner: str) -> Iterator[Manifest]:
        """Yield the objects of a kind that carry an owner's label."""
        entries = self._entries[kind.kind]
        names = self._owned.get((kind.kind, namespace, owner), set())
        return (_decoded(kind, entries[namespace, name].content) for name in sorted(names))

    def _remove(self, kind: Kind, name: Name) -> None:
        entry = self._entries[kind.kind].pop(name)
        self._revisions[kind.kind] += 1
        if not entry.owner:
            return
        index = (kind.kind, name[0], entry.owner)
        self._owned[index].discard(name[1])
        if not self._owned[index]:
            del self._owned[index]

    def _bury(self, uid: str, version: int) -> None:
        self._deleted[uid] = max(version, self._deleted.get(uid, version))
        self._deleted.move_to_end(uid)
        while len(self._deleted) > _MAX_DELETED:
            self._deleted.popitem(last=False)


def _manifest(kind: Kind, entry: _Entry | None) -> Manifest | None:
    return _decoded(kind, entry.content) if entry else None


def _decoded(kind: Kind, content: bytes) -> Manifest:
    document = zlib.decompress(content) if content.startswith(_PACKED) else content
    return {"apiVersion": kind.api_version, "kind": kind.kind, **json.loads(document)}


def _encoded(manifest: Manifest) -> bytes:
    document = json.dumps(manifest, separators=(",", ":")).encode()
    return zlib.compress(document, level=1) if len(document) > _LARGE else document
