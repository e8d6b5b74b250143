"""The objects of a policy's hint service."""

from typing import Final

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RUNTIME_KEY
from tokenflow_operator.kube.kinds import DEPLOYMENT, ROLE, ROLE_BINDING
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names, replicated
from tokenflow_operator.plan.objects import Owner, config_volume, mount, resources
from tokenflow_operator.settings import Images

COMPONENT: Final = "hintsvc"
_REDIS_URL: Final = "TOKENFLOW_REDIS_URL"
_DRAIN_S: Final = 30
_FAST_PORT: Final = {"hints": names.FAST_HINT_PORT}
"""Serves hint reads and the stream alone, to many clients."""


def hintsvc_objects(owner: Owner, spec: PacingPolicySpec, images: Images) -> tuple[Manifest, ...]:
    """Render the hint service of a policy."""
    name = names.hintsvc(owner.key.name)
    return (
        owner.service_account(name, COMPONENT),
        *_permission_to_watch_config(owner),
        owner.service(name, COMPONENT, replicated.PORTS | {"http": names.HINT_PORT, **_FAST_PORT}),
        owner.object(DEPLOYMENT, name, COMPONENT, spec=_deployment(owner, spec, images)),
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


def _deployment(owner: Owner, spec: PacingPolicySpec, images: Images) -> Manifest:
    policy, tls = owner.key.name, spec.security.tls_secret_ref
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
        "env": [_redis_url(owner, spec), *replicated.pod_identity()],
        "resources": resources(
            spec.hint_service.resources,
            # Of a follower, and of a leader with models: any replica may become one.
            requests={"cpu": "100m", "memory": "150Mi"},
            limits={"memory": "384Mi"},
        ),
        "volumeMounts": [
            mount("runtime", names.RUNTIME_DIR),
            *tenant_mounts,
            *([mount("tls", names.TLS_DIR)] if tls else []),
            mount("tmp", "/tmp", read_only=False),  # noqa: S108 - the container's own
        ],
        **replicated.serving(names.HINT_PORT, also=_FAST_PORT, tls=tls is not None),
    }
    return replicated.deployment(
        labels=owner.labels(COMPONENT),
        selector=owner.selector(COMPONENT),
        replicas=spec.hint_service.replicas,
        pod={
            "serviceAccountName": names.hintsvc(policy),
            # It watches its ConfigMap and reads the keys that tokens are verified with.
            "automountServiceAccountToken": True,
            "terminationGracePeriodSeconds": _DRAIN_S,
            "containers": [container],
            "volumes": [
                config_volume("runtime", names.runtime(policy)),
                *tenant_volumes,
                *([{"name": "tls", "secret": {"secretName": tls.name}}] if tls else []),
                replicated.SCRATCH,
            ],
        },
    )


def _redis_url(owner: Owner, spec: PacingPolicySpec) -> Manifest:
    secret = spec.hint_service.redis.secret_ref
    if secret is None:
        return {"name": _REDIS_URL, "value": f"redis://{names.redis(owner.key.name)}:{names.REDIS_PORT}/0"}
    return {"name": _REDIS_URL, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": "url"}}}
