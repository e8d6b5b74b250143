"""Our own resources and the nodes out of the cache, read once per change: every plan sees them all."""

import logging
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.cache import Cache
from tokenflow_operator.keys import Key, key_of
from tokenflow_operator.kube import FIELD_MANAGER, Kind, Manifest
from tokenflow_operator.kube.kinds import NODE
from tokenflow_operator.kube.objects import status_written_at
from tokenflow_operator.snapshot import InvalidSnapshot, Resource

SpecT = TypeVar("SpecT", PacingPolicySpec, TelemetryAgentSpec)

_log: Final = logging.getLogger(__name__)


class Resources(Generic[SpecT]):
    """The resources of one of our kinds."""

    def __init__(self, cache: Cache, kind: Kind, model: type[SpecT]) -> None:
        self._cache = cache
        self._kind = kind
        self._model: type[SpecT] = model
        self._read: dict[Key, tuple[bytes, Resource[SpecT] | InvalidSnapshot]] = {}
        self._all: tuple[Resource[SpecT], ...] = ()
        self._revision = -1

    def find(self, key: Key) -> Resource[SpecT] | InvalidSnapshot | None:
        """Return one resource, or why it cannot be read; nothing if it is gone or going."""
        content = self._cache.content(self._kind, namespace=key.namespace, name=key.name)
        known = self._read.get(key)
        if known is not None and known[0] is content:
            return known[1]
        manifest = self._cache.get(self._kind, namespace=key.namespace, name=key.name)
        if content is None or manifest is None or "deletionTimestamp" in manifest["metadata"]:
            return None
        resource = self._resource(manifest, known[1] if known else None)
        self._read[key] = (content, resource)
        return resource

    def all(self) -> tuple[Resource[SpecT], ...]:
        """Return all resources that can be read and stay; the others' own passes say what is wrong with them."""
        revision = self._cache.revision(self._kind)
        if revision != self._revision:
            names = self._cache.names(self._kind)
            keys = sorted(Key(kind=self._kind.kind, namespace=namespace, name=name) for namespace, name in names)
            found = map(self.find, keys)
            self._all = tuple(resource for resource in found if isinstance(resource, Resource))
            self._read = {key: self._read[key] for key in keys if key in self._read}
            self._revision = revision
        return self._all

    def _resource(
        self, manifest: Manifest, before: Resource[SpecT] | InvalidSnapshot | None
    ) -> Resource[SpecT] | InvalidSnapshot:
        meta, status = manifest["metadata"], manifest.get("status", {})
        key, uid, generation = key_of(manifest), meta["uid"], meta["generation"]
        if isinstance(before, Resource) and (before.uid, before.generation) == (uid, generation):
            spec = before.spec
        else:
            try:
                spec = self._model.model_validate(manifest.get("spec", {}))
            except ValidationError as error:
                words = _words(error)
                _log.warning("a resource cannot be read", extra={"key": str(key), "cause": words})
                return InvalidSnapshot(key=key, uid=uid, generation=generation, status=status, error=words)
        return Resource(
            key=key,
            uid=uid,
            generation=generation,
            spec=spec,
            created_at=meta["creationTimestamp"],
            status=status,
            status_written_at=status_written_at(manifest, manager=FIELD_MANAGER),
            annotations=meta.get("annotations", {}),
        )


class Nodes:
    """The nodes out of the cache, which passes that go on at the same time share: nobody changes them."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._all: tuple[Manifest, ...] = ()
        self._revision = -1

    def all(self) -> tuple[Manifest, ...]:
        """Return all nodes."""
        revision = self._cache.revision(NODE)
        if revision != self._revision:
            self._all, self._revision = tuple(self._cache.all(NODE)), revision
        return self._all


def _words(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in ("spec", *first["loc"]))
    return f"{where}: {first['msg']}"
