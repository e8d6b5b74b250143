"""The Redis that the operator runs for a policy that names none of its own.

What it holds can be measured again for the most part, so one replica will do: the hint service serves
on from memory while it is away.
"""

from typing import Final

from tokenflow_api.pacing_policy import EmbeddedRedis
from tokenflow_operator.kube.kinds import DEPLOYMENT, PERSISTENT_VOLUME_CLAIM
from tokenflow_operator.kube.objects import Manifest, ObjectRef
from tokenflow_operator.plan import hintsvc, names
from tokenflow_operator.plan.network_policy import kept_for
from tokenflow_operator.plan.objects import (
    LAST_WORDS,
    Owner,
    confined,
    container_ports,
    mount,
    pull_secrets,
    unprivileged_pod,
)
from tokenflow_operator.plan.storage import claim
from tokenflow_operator.settings import Images
from tokenflow_operator.snapshot import Cluster

COMPONENT: Final = "redis"
_PORTS: Final = {"redis": names.REDIS_PORT}
_MAX_MEMORY: Final = "256mb"
"""More than the caps of all that the hint service keeps: history, models, and a few MiB besides."""
_MEMORY_LIMIT: Final = "512Mi"
"""A log that is written anew holds, by copy on write, up to twice the memory."""
_EVICTION: Final = ("--maxmemory-policy", "volatile-lru", "--maxmemory-samples", "10")
"""Should memory ever run out, what was not used for longest goes first. The lock of the leader has the shortest
time to live of all, and is used all the time: an eviction by time to live would take it first."""
_ANSWERS: Final = {"tcpSocket": {"port": "redis"}, "timeoutSeconds": 2}


def redis_objects(owner: Owner, spec: EmbeddedRedis, images: Images, cluster: Cluster) -> tuple[Manifest, ...]:
    """Render the Redis of a policy, given what it has become so far."""
    name = names.redis(owner.key.name)
    present = cluster.children.get(ObjectRef(PERSISTENT_VOLUME_CLAIM.kind, name))
    return (
        owner.service(name, COMPONENT, _PORTS),
        kept_for(owner, name, COMPONENT, client=hintsvc.COMPONENT, port=names.REDIS_PORT),
        *([claim(owner, name, COMPONENT, spec, present)] if spec.storage else []),
        owner.object(DEPLOYMENT, name, COMPONENT, spec=_deployment(owner, spec, images)),
    )


def _deployment(owner: Owner, spec: EmbeddedRedis, images: Images) -> Manifest:
    container = {
        "name": COMPONENT,
        "image": images.redis,
        "imagePullPolicy": images.pull_policy,
        "command": ["redis-server"],
        "args": [
            *("--port", str(names.REDIS_PORT), "--dir", "/data", "--protected-mode", "no"),
            *("--save", "", "--appendonly", "yes" if spec.storage else "no"),
            *("--maxmemory", _MAX_MEMORY, *_EVICTION),
        ],
        "ports": container_ports(_PORTS),
        "startupProbe": {**_ANSWERS, "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {**_ANSWERS, "periodSeconds": 10, "failureThreshold": 3},
        "readinessProbe": {**_ANSWERS, "periodSeconds": 2, "failureThreshold": 2},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": _MEMORY_LIMIT}},
        "securityContext": confined(),
        "terminationMessagePolicy": LAST_WORDS,
        "volumeMounts": [mount("data", "/data", read_only=False)],
    }
    return {
        "replicas": 1,
        # Two at once behind one name would split the replicas' state.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": owner.selector(COMPONENT)},
        "template": {
            "metadata": {"labels": owner.labels(COMPONENT)},
            "spec": {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": unprivileged_pod(),
                **pull_secrets(images),
                "terminationGracePeriodSeconds": 10,
                "containers": [container],
                "volumes": [_data(owner, spec)],
            },
        },
    }


def _data(owner: Owner, spec: EmbeddedRedis) -> Manifest:
    if spec.storage is None:
        return {"name": "data", "emptyDir": {}}
    return {"name": "data", "persistentVolumeClaim": {"claimName": names.redis(owner.key.name)}}
