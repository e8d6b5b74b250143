"""What all rendered objects have in common: identity, labels, and how little their pods may do."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokenflow_api.client_tls import CERTIFICATE, PRIVATE_KEY
from tokenflow_api.meta import API_VERSION, Resources
from tokenflow_api.runtime import TOKEN_AUDIENCE
from tokenflow_operator.keys import OWNER_LABEL, Key
from tokenflow_operator.kube.kinds import CONFIG_MAP, SERVICE, SERVICE_ACCOUNT, Kind
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names
from tokenflow_operator.settings import Images

NON_ROOT: Final = 65532
TOKEN_LIFETIME_S: Final = 3600
MANAGED_BY: Final = "tokenflow-operator"
INTENT_ANNOTATION: Final = "tokenflow.io/intent"
_NO_LABELS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The resource that rendered objects belong to."""

    key: Key
    uid: str

    def labels(self, component: str) -> dict[str, str]:
        """Return the labels of an object, and of the pods of a workload."""
        return {**self.selector(component), "app.kubernetes.io/managed-by": MANAGED_BY}

    def selector(self, component: str) -> dict[str, str]:
        """Return the labels that pods are selected by; a workload can never change them."""
        return {
            "app.kubernetes.io/name": "tokenflow",
            "app.kubernetes.io/instance": self.key.name,
            "app.kubernetes.io/component": component,
            OWNER_LABEL: self.key.owner_label,
        }

    def object(
        self, kind: Kind, name: str, component: str, *, labels: Mapping[str, str] = _NO_LABELS, **content: Any
    ) -> Manifest:
        """Return a complete object that is deleted with its owner.

        Args:
            kind: what it is.
            name: its name.
            component: which part of TokenFlow it belongs to.
            labels: others than those that all objects have.
            content: its fields besides the metadata.
        """
        reference = {
            "apiVersion": API_VERSION,
            "kind": self.key.kind,
            "name": self.key.name,
            "uid": self.uid,
            "controller": True,
            # Blocking would need the right to set finalizers, and nothing here has to go first.
            "blockOwnerDeletion": False,
        }
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "name": name,
                "namespace": self.key.namespace,
                "labels": {**labels, **self.labels(component)},
                "annotations": {INTENT_ANNOTATION: digest({**content, "labels": dict(labels)} if labels else content)},
                "ownerReferences": [reference],
            },
            **content,
        }

    def config_map(self, name: str, component: str, *, key: str, document: str) -> Manifest:
        """Return a ConfigMap of one document."""
        return self.object(CONFIG_MAP, name, component, data={key: document})

    def service_account(self, name: str, component: str) -> Manifest:
        """Return an identity; pods that talk to the API server ask for its token themselves."""
        return self.object(SERVICE_ACCOUNT, name, component, automountServiceAccountToken=False)

    def service(self, name: str, component: str, ports: Mapping[str, int]) -> Manifest:
        """Return a Service in front of a component's pods, with the ports by name."""
        return self.object(
            SERVICE,
            name,
            component,
            spec={
                "selector": self.selector(component),
                "ports": [
                    {"name": port, "port": number, "targetPort": port, "protocol": "TCP"}
                    for port, number in ports.items()
                ],
            },
        )


def digest(content: Any) -> str:
    """Return a short fingerprint of what is asked for.

    It tells when a field is no longer asked for, which the object itself cannot show; changes made by
    others are found by comparing the fields.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


LAST_WORDS: Final = "FallbackToLogsOnError"
"""Has the kubelet put the end of a failed container's log into its status, where the operator may read it."""


def container_ports(ports: Mapping[str, int]) -> list[Manifest]:
    """Return a container's ports by name."""
    return [{"name": name, "containerPort": number, "protocol": "TCP"} for name, number in ports.items()]


def config_volume(name: str, config_map: str) -> Manifest:
    """Return a volume with the files of a ConfigMap."""
    return {"name": name, "configMap": {"name": config_map}}


def client_tls_volume(secrets: Mapping[str, str]) -> list[Manifest]:
    """Return the volume of certificates to show hint services; none where none serves by TLS.

    Args:
        secrets: name of the TLS Secret of each policy, whose private key of the server stays out.
    """
    sources = [
        {
            "secret": {
                "name": secret,
                "optional": True,
                "items": [{"key": key, "path": f"{policy}/{key}"} for key in (CERTIFICATE, PRIVATE_KEY)],
            }
        }
        for policy, secret in sorted(secrets.items())
    ]
    return [{"name": "client-tls", "projected": {"sources": sources}}] if sources else []


def client_tls_mount(secrets: Mapping[str, str]) -> list[Manifest]:
    """Return the mount of ``client_tls_volume``."""
    return [mount("client-tls", names.CLIENT_TLS_DIR)] if secrets else []


def token_volume() -> Manifest:
    """Return a volume with a token that only hint services accept."""
    token = {"path": "token", "audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_LIFETIME_S}
    return {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}


def mount(name: str, path: str, *, read_only: bool = True) -> Manifest:
    """Return the mount of a volume."""
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def token_mount() -> Manifest:
    """Return the mount of ``token_volume``."""
    return mount("token", names.TOKEN_DIR)


def field_env(**fields: str) -> list[Manifest]:
    """Return environment variables that hold fields of the pod."""
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def http_probe(path: str, port: str, *, period_s: int, failures: int, tls: bool = False) -> Manifest:
    """Return a probe of an HTTP endpoint."""
    return {
        "httpGet": {"path": path, "port": port, **({"scheme": "HTTPS"} if tls else {})},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def unprivileged_pod() -> Manifest:
    """Return the security context of pods that need nothing of their node."""
    return {
        "runAsNonRoot": True,
        "runAsUser": NON_ROOT,
        "runAsGroup": NON_ROOT,
        "fsGroup": NON_ROOT,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pull_secrets(images: Images) -> Manifest:
    """Return the part of a pod that names the Secrets its images are pulled with; empty where there are none."""
    return {"imagePullSecrets": [{"name": name} for name in images.pull_secrets]} if images.pull_secrets else {}


def confined(*, add: Sequence[str] = ()) -> Manifest:
    """Return the security context of a container with no capabilities but the given ones."""
    capabilities = {"drop": ["ALL"], **({"add": list(add)} if add else {})}
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": capabilities}


def resources(asked: Resources, *, requests: Mapping[str, str], limits: Mapping[str, str]) -> Manifest:
    """Return CPU and memory as asked for; a default that contradicts what was asked for gives way."""
    asked_requests = asked.requests.model_dump(exclude_none=True) if asked.requests else {}
    asked_limits = asked.limits.model_dump(exclude_none=True) if asked.limits else {}
    rendered = {
        "requests": {**{k: v for k, v in requests.items() if k not in asked_limits}, **asked_requests},
        "limits": {**{k: v for k, v in limits.items() if k not in asked_requests}, **asked_limits},
    }
    # An empty map comes back as none at all, which would be drift in each pass.
    return {what: amounts for what, amounts in rendered.items() if amounts}
