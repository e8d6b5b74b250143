"""Our own resources out of the cache, each read once per change: every plan sees them all."""

import logging
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.telemetry_agent import TelemetryAgentSpec
from tokenflow_operator.cache import Cache
from tokenflow_operator.keys import Key, key_of
from tokenflow_operator.kube import FIELD_MANAGER, Kind, Manifest
from tokenflow_operator.kube.kinds import PACING_POLICY, TELEMETRY_AGENT
from tokenflow_operator.kube.objects import status_written_at
from tokenflow_operator.snapshot import Agent, InvalidSnapshot, Policy, Resource

SpecT = TypeVar("SpecT", PacingPolicySpec, TelemetryAgentSpec)

_log: Final = logging.getLogger(__name__)


class Resources:
    """The policies and agents of a cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._policies: dict[Key, tuple[bytes, Policy | InvalidSnapshot]] = {}
        self._agents: dict[Key, tuple[bytes, Agent | InvalidSnapshot]] = {}

    def policy(self, key: Key) -> Policy | InvalidSnapshot | None:
        """Return one policy, or why it cannot be read; nothing if it is gone or going."""
        return self._find(key, PacingPolicySpec, self._policies)

    def agent(self, key: Key) -> Agent | InvalidSnapshot | None:
        """Return likewise one TelemetryAgent."""
        return self._find(key, TelemetryAgentSpec, self._agents)

    def policies(self) -> tuple[Policy, ...]:
        """Return all policies that can be read and stay; the others' own passes say what is wrong with them."""
        return tuple(self._readable(PACING_POLICY, PacingPolicySpec, self._policies))

    def agents(self) -> tuple[Agent, ...]:
        """Return likewise all TelemetryAgents."""
        return tuple(self._readable(TELEMETRY_AGENT, TelemetryAgentSpec, self._agents))

    def _readable(
        self, kind: Kind, model: type[SpecT], memory: dict[Key, tuple[bytes, Resource[SpecT] | InvalidSnapshot]]
    ) -> Iterator[Resource[SpecT]]:
        keys = {Key(kind=kind.kind, namespace=namespace, name=name) for namespace, name in self._cache.names(kind)}
        for key in sorted(keys):
            resource = self._find(key, model, memory)
            if isinstance(resource, Resource):
                yield resource
        for gone in memory.keys() - keys:
            del memory[gone]

    def _find(
        self, key: Key, model: type[SpecT], memory: dict[Key, tuple[bytes, Resource[SpecT] | InvalidSnapshot]]
    ) -> Resource[SpecT] | InvalidSnapshot | None:
        content = self._cache.content(key.served_as, namespace=key.namespace, name=key.name)
        known = memory.get(key)
        if known is None or known[0] is not content:
            manifest = self._cache.get(key.served_as, namespace=key.namespace, name=key.name)
            if content is None or manifest is None or "deletionTimestamp" in manifest["metadata"]:
                return None
            memory[key] = known = (content, _resource(manifest, model))
        return known[1]


def _resource(manifest: Manifest, model: type[SpecT]) -> Resource[SpecT] | InvalidSnapshot:
    meta, status = manifest["metadata"], manifest.get("status", {})
    try:
        spec = model.model_validate(manifest.get("spec", {}))
    except ValidationError as error:
        _log.warning("a resource cannot be read", extra={"key": str(key_of(manifest)), "cause": _words(error)})
        return InvalidSnapshot(
            key=key_of(manifest), uid=meta["uid"], generation=meta["generation"], status=status, error=_words(error)
        )
    return Resource(
        key=key_of(manifest),
        uid=meta["uid"],
        generation=meta["generation"],
        spec=spec,
        created_at=meta["creationTimestamp"],
        status=status,
        status_written_at=status_written_at(manifest, manager=FIELD_MANAGER),
        annotations=meta.get("annotations", {}),
    )


def _words(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in ("spec", *first["loc"]))
    return f"{where}: {first['msg']}"
