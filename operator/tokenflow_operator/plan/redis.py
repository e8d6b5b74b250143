"""The Redis that the operator runs for a policy that names none of its own.

It holds only what can be measured again, so it keeps nothing on disk and one replica will do:
the hint service serves on from memory while it is away.
"""

from typing import Final

from tokenflow_operator.kube.kinds import DEPLOYMENT
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import hintsvc, names
from tokenflow_operator.plan.network_policy import kept_for
from tokenflow_operator.plan.objects import Owner, confined, container_ports, mount, pull_secrets, unprivileged_pod
from tokenflow_operator.settings import Images

COMPONENT: Final = "redis"
_PORTS: Final = {"redis": names.REDIS_PORT}
_MAX_MEMORY: Final = "192mb"
_ANSWERS: Final = {"tcpSocket": {"port": "redis"}, "timeoutSeconds": 2}


def redis_objects(owner: Owner, images: Images) -> tuple[Manifest, ...]:
    """Render the Redis of a policy."""
    name = names.redis(owner.key.name)
    return (
        owner.service(name, COMPONENT, _PORTS),
        kept_for(owner, name, COMPONENT, client=hintsvc.COMPONENT, port=names.REDIS_PORT),
        owner.object(DEPLOYMENT, name, COMPONENT, spec=_deployment(owner, images)),
    )


def _deployment(owner: Owner, images: Images) -> Manifest:
    container = {
        "name": COMPONENT,
        "image": images.redis,
        "imagePullPolicy": images.pull_policy,
        "command": ["redis-server"],
        "args": [
            *("--port", str(names.REDIS_PORT), "--dir", "/data", "--protected-mode", "no"),
            *("--save", "", "--appendonly", "no"),
            *("--maxmemory", _MAX_MEMORY, "--maxmemory-policy", "volatile-ttl"),
        ],
        "ports": container_ports(_PORTS),
        "startupProbe": {**_ANSWERS, "periodSeconds": 1, "failureThreshold": 60},
        "livenessProbe": {**_ANSWERS, "periodSeconds": 10, "failureThreshold": 3},
        "readinessProbe": {**_ANSWERS, "periodSeconds": 2, "failureThreshold": 2},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": confined(),
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
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        },
    }
