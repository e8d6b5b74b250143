"""The objects of a policy's gateway. It has no access to the Kubernetes API."""

from collections.abc import Iterable
from typing import Final

from tokenflow_api.pacing_policy import PacingPolicySpec, Security, Upstream
from tokenflow_api.runtime import RUNTIME_KEY
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names, replicated
from tokenflow_operator.plan.disruption import disruption_budget
from tokenflow_operator.plan.network_policy import open_to_clients
from tokenflow_operator.plan.objects import (
    Owner,
    client_tls_mount,
    client_tls_volume,
    config_volume,
    mount,
    resources,
    token_mount,
    token_volume,
)
from tokenflow_operator.plan.runtime import tls_secrets
from tokenflow_operator.settings import Images

COMPONENT: Final = "gateway"
_DRAIN_S: Final = 60
"""Seconds that streams have to end by themselves."""
_TLS_KEYS: Final = ("tls.crt", "tls.key")
"""Of a Secret of type kubernetes.io/tls."""


def gateway_objects(owner: Owner, spec: PacingPolicySpec, images: Images) -> tuple[Manifest, ...]:
    """Render the gateway of a policy."""
    name = names.gateway(owner.key.name)
    return (
        owner.service_account(name, COMPONENT),
        owner.service(name, COMPONENT, replicated.PORTS | {"http": names.GATEWAY_PORT}),
        open_to_clients(owner, name, COMPONENT, ports=[names.GATEWAY_PORT]),
        _deployment(owner, spec, images),
        disruption_budget(owner, name, COMPONENT),
    )


def _deployment(owner: Owner, spec: PacingPolicySpec, images: Images) -> Manifest:
    policy = owner.key.name
    tls = tls_secrets({policy: spec})
    tenant_volumes, tenant_mounts = replicated.tenant_keys(spec.tenants)
    upstream_keys = _upstream_keys(spec.gateway.upstreams)
    certificate = _certificate(spec.security)
    container = {
        "name": COMPONENT,
        "image": images.hintsvc,
        "imagePullPolicy": images.pull_policy,
        "command": ["tokenflow-gateway"],
        "args": [
            f"--runtime-file={names.RUNTIME_DIR}/{RUNTIME_KEY}",
            f"--hint-url={names.hint_service_url(owner.key, names.scheme(spec.security))}",
            *([f"--hint-tls-dir={names.CLIENT_TLS_DIR}/{policy}"] if tls else []),
            f"--token-file={names.TOKEN_FILE}",
            f"--tenants-dir={names.TENANTS_DIR}",
            *([f"--upstreams-dir={names.UPSTREAMS_DIR}"] if upstream_keys else []),
            *([f"--tls-dir={names.TLS_DIR}"] if certificate else []),
            f"--port={names.GATEWAY_PORT}",
            f"--metrics-port={names.METRICS_PORT}",
        ],
        "env": replicated.pod_identity(),
        "resources": resources(
            spec.gateway.resources,
            requests={"cpu": "100m", "memory": "96Mi"},
            limits={"memory": "512Mi"},
        ),
        "volumeMounts": [
            mount("runtime", names.RUNTIME_DIR),
            token_mount(),
            *client_tls_mount(tls),
            *tenant_mounts,
            *[mount(volume["name"], names.UPSTREAMS_DIR) for volume in upstream_keys],
            *[mount(volume["name"], names.TLS_DIR) for volume in certificate],
            mount("tmp", "/tmp", read_only=False),  # noqa: S108 - the container's own
        ],
        **replicated.serving(names.GATEWAY_PORT, tls=bool(certificate)),
    }
    return replicated.deployment(
        owner,
        names.gateway(policy),
        COMPONENT,
        replicas=spec.gateway.replicas,
        images=images,
        pod={
            "serviceAccountName": names.gateway(policy),
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": _DRAIN_S,
            "containers": [container],
            "volumes": [
                config_volume("runtime", names.runtime(policy)),
                token_volume(),
                *client_tls_volume(tls),
                *tenant_volumes,
                *upstream_keys,
                *certificate,
                replicated.SCRATCH,
            ],
        },
    )


def _certificate(security: Security) -> list[Manifest]:
    """Return the volume of what the gateway serves with; none where it serves in clear.

    Without the authority of client certificates, which agents and gateways show: readers show keys and tokens.
    """
    if security.tls_secret_ref is None:
        return []
    items = [{"key": key, "path": key} for key in _TLS_KEYS]
    secret = {"secretName": security.tls_secret_ref.name, "optional": True, "items": items}
    return [{"name": "tls", "secret": secret}]


def _upstream_keys(upstreams: Iterable[Upstream]) -> list[Manifest]:
    """Return the volume of the gateway's API keys at its upstreams; none where none asks for one.

    A Secret may come later than the policy: its upstream is not asked until then, and the others are.
    """
    referring = {one.name: one.api_key_secret_ref.name for one in upstreams if one.api_key_secret_ref is not None}
    sources = [
        {"secret": {"name": secret, "optional": True, "items": [{"key": "apiKey", "path": f"{upstream}/apiKey"}]}}
        for upstream, secret in sorted(referring.items())
    ]
    return [{"name": "upstream-keys", "projected": {"sources": sources}}] if sources else []
