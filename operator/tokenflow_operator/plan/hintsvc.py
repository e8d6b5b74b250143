"""The objects of a policy's hint service."""

from typing import Final

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RUNTIME_KEY
from tokenflow_operator.kube.kinds import DEPLOYMENT, HINT_REQUESTS, ROLE, ROLE_BINDING
from tokenflow_operator.kube.objects import Manifest, ObjectRef
from tokenflow_operator.plan import names, replicated
from tokenflow_operator.plan.address import SCHEME_LABEL
from tokenflow_operator.plan.autoscaling import autoscalers, hintsvc_replicas
from tokenflow_operator.plan.disruption import disruption_budget
from tokenflow_operator.plan.network_policy import open_to_clients
from tokenflow_operator.plan.objects import Owner, config_volume, mount, resources
from tokenflow_operator.settings import Images
from tokenflow_operator.snapshot import Cluster

COMPONENT: Final = "hintsvc"
_DRAIN_S: Final = 30
_FAST_PORT: Final = {"hints": names.FAST_HINT_PORT}
"""Serves hint reads and the stream alone, to many clients."""


def hintsvc_objects(owner: Owner, spec: PacingPolicySpec, images: Images, cluster: Cluster) -> tuple[Manifest, ...]:
    """Render the hint service of a policy, given what it has become so far."""
    name = names.hintsvc(owner.key.name)
    replicas = hintsvc_replicas(spec.hint_service, cluster.children.get(ObjectRef(DEPLOYMENT.kind, name)))
    return (
        owner.service_account(name, COMPONENT),
        *_permission_to_watch_config(owner),
        owner.service(name, COMPONENT, replicated.PORTS | {"http": names.HINT_PORT, **_FAST_PORT}),
        open_to_clients(owner, name, COMPONENT, ports=[names.HINT_PORT, names.FAST_HINT_PORT]),
        _deployment(owner, spec, images, replicas=replicas),
        disruption_budget(owner, name, COMPONENT),
        *autoscalers(owner, name, COMPONENT, spec.hint_service, by_requests=HINT_REQUESTS.kind in cluster.served),
    )


def _permission_to_watch_config(owner: Owner) -> tuple[Manifest, Manifest]:
    """Let the replicas watch their one ConfigMap: the kubelet takes up to a minute to refresh a mounted one."""
    name, namespace = names.hintsvc(owner.key.name), owner.key.namespace
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [names.runtime(owner.key.name)],
        "verbs": ["get", "list", "watch"],
    }
    return (
        owner.object(ROLE, name, COMPONENT, rules=[rule]),
        owner.object(
            ROLE_BINDING,
            name,
            COMPONENT,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        ),
    )


def _deployment(owner: Owner, spec: PacingPolicySpec, images: Images, *, replicas: int) -> Manifest:
    policy, tls = owner.key.name, spec.security.tls_secret_ref
    redis_env, redis_volumes, redis_mounts = _redis(owner, spec)
    tenant_volumes, tenant_mounts = replicated.tenant_keys(spec.tenants)
    container = {
        "name": COMPONENT,
        "image": images.hintsvc,
        "imagePullPolicy": images.pull_policy,
        "command": ["tokenflow-hintsvc"],
        "args": [
            "serve",
            f"--runtime-file={names.RUNTIME_DIR}/{RUNTIME_KEY}",
            f"--namespace={owner.key.namespace}",
            f"--config-map={names.runtime(policy)}",
            f"--tenants-dir={names.TENANTS_DIR}",
            f"--port={names.HINT_PORT}",
            f"--fast-port={names.FAST_HINT_PORT}",
            f"--metrics-port={names.METRICS_PORT}",
            *([f"--tls-dir={names.TLS_DIR}"] if tls else []),
        ],
        "env": [redis_env, *replicated.pod_identity()],
        "resources": resources(
            spec.hint_service.resources,
            # Of a follower, and of a leader with models: any replica may become one.
            requests={"cpu": "100m", "memory": "150Mi"},
            limits={"memory": "384Mi"},
        ),
        "volumeMounts": [
            mount("runtime", names.RUNTIME_DIR),
            *redis_mounts,
            *tenant_mounts,
            *([mount("tls", names.TLS_DIR)] if tls else []),
            mount("tmp", "/tmp", read_only=False),  # noqa: S108 - the container's own
        ],
        **replicated.serving(names.HINT_PORT, also=_FAST_PORT, tls=tls is not None),
    }
    return replicated.deployment(
        owner,
        names.hintsvc(policy),
        COMPONENT,
        replicas=replicas,
        images=images,
        labels={SCHEME_LABEL: names.scheme(spec.security)},
        pod={
            "serviceAccountName": names.hintsvc(policy),
            # It watches its ConfigMap and reads the keys that tokens are verified with.
            "automountServiceAccountToken": True,
            "terminationGracePeriodSeconds": _DRAIN_S,
            "containers": [container],
            "volumes": [
                config_volume("runtime", names.runtime(policy)),
                *redis_volumes,
                *tenant_volumes,
                # It says itself what a Secret lacks that it cannot be served with, and the kubelet would not.
                *([{"name": "tls", "secret": {"secretName": tls.name, "optional": True}}] if tls else []),
                replicated.SCRATCH,
            ],
        },
    )


def _redis(owner: Owner, spec: PacingPolicySpec) -> tuple[Manifest, list[Manifest], list[Manifest]]:
    """Return the environment, volumes and mounts by which the shared state is found."""
    secret = spec.hint_service.redis.secret_ref
    if secret is None:
        url = f"redis://{names.redis(owner.key.name)}:{names.REDIS_PORT}/0"
        return {"name": "TOKENFLOW_REDIS_URL", "value": url}, [], []
    # A file, so that another password needs no restart. Without the Secret the program says what is missing.
    volume = {
        "name": "redis",
        "secret": {"secretName": secret.name, "optional": True, "items": [{"key": "url", "path": "url"}]},
    }
    path = f"{names.REDIS_DIR}/url"
    return {"name": "TOKENFLOW_REDIS_URL_FILE", "value": path}, [volume], [mount("redis", names.REDIS_DIR)]
