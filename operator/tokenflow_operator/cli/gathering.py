"""Fills a cache with all that a plan depends on, through kubectl: what the operator's watches do."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tokenflow_operator.cache import Cache
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.errors import ForbiddenError, KubeError, NotFoundError
from tokenflow_operator.keys import OWNER_LABEL
from tokenflow_operator.kube import Kind, Manifest, ObjectRef
from tokenflow_operator.kube.kinds import CHILDREN, CONTROLLER_REVISION, NODE, OPTIONAL, OWNERS, POD
from tokenflow_operator.kube.objects import ref_of

_KINDS: Final = {kind.kind: kind for kind in (*CHILDREN, *OWNERS, POD, CONTROLLER_REVISION, NODE)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """The cluster around one namespace.

    Attributes:
        cache: as the operator would have it.
        objects: what may be children, whoever's they are, as they stand.
        nodes: whether the caller may read nodes.
    """

    cache: Cache
    objects: Mapping[ObjectRef, Manifest]
    nodes: bool

    async def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest:
        """Return one object of the namespace.

        Raises:
            NotFoundError: there is none.
        """
        found = self.objects.get(ObjectRef(kind.kind, name))
        if found is None:
            raise NotFoundError(f"{kind.kind} {namespace}/{name}")
        return found


def gather(kubectl: Kubectl, *, everywhere: bool) -> Gathered:
    """Read the cluster around the namespace of ``kubectl``.

    Args:
        kubectl: the caller's.
        everywhere: whether the operator looks after the resources of other namespaces too.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: it could not be read, or the caller may not read it.
    """
    groups = {version: _plurals(kubectl, version) for version in {kind.api_version for kind in OPTIONAL}}
    served = frozenset(kind for kind in OPTIONAL if kind.plural in groups[kind.api_version])
    children = [kind for kind in CHILDREN if not kind.optional or kind in served]
    near = kubectl.items([_resource(kind) for kind in (*children, POD, CONTROLLER_REVISION)])
    nodes = _nodes(kubectl)
    cache = Cache()
    cache.served = served
    # The operator's watches see only what carries an owner's label, too.
    labelled = [manifest for manifest in near if OWNER_LABEL in manifest["metadata"].get("labels", {})]
    for manifest in (*labelled, *_owners(kubectl, everywhere=everywhere), *(nodes or ())):
        cache.put(_KINDS[manifest["kind"]], manifest)
    kinds = {kind.kind for kind in children}
    objects = {ref_of(manifest): manifest for manifest in near if manifest["kind"] in kinds}
    return Gathered(cache=cache, objects=objects, nodes=nodes is not None)


def _resource(kind: Kind) -> str:
    """Return a kind as kubectl takes it: with its version and group, as others may have a kind of that name."""
    group, _, version = kind.api_version.rpartition("/")
    return f"{kind.plural}.{version}.{group}" if group else kind.plural


def _owners(kubectl: Kubectl, *, everywhere: bool) -> Iterable[Manifest]:
    """Return all policies and agents that the operator looks after, as far as the caller may read them."""
    kinds = [_resource(kind) for kind in OWNERS]
    try:
        return kubectl.items(kinds, everywhere=everywhere)
    except ForbiddenError:
        if not everywhere:
            raise
        return kubectl.items(kinds)


def _nodes(kubectl: Kubectl) -> list[Manifest] | None:
    try:
        return kubectl.items([NODE.plural])
    except ForbiddenError:
        return None


def _plurals(kubectl: Kubectl, api_version: str) -> frozenset[str]:
    """Return what the API serves of a group and version."""
    try:
        document = json.loads(kubectl.run("get", "--raw", f"/apis/{api_version}"))
    except KubeError:
        # Not installed, or another server's, which is away: the operator leaves such kinds out too.
        return frozenset()
    return frozenset(resource["name"] for resource in document["resources"])
