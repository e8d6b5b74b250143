"""The objects of a TelemetryAgent: as little privilege as reading the kernel takes."""

from collections.abc import Mapping
from typing import Any, Final

from tokenflow_api.runtime import AGENT_CONFIG_KEY
from tokenflow_api.telemetry import AgentConfig
from tokenflow_api.telemetry_agent import AgentSecurity, TelemetryAgentSpec
from tokenflow_operator.kube.kinds import DAEMON_SET
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names
from tokenflow_operator.plan.objects import (
    LAST_WORDS,
    Owner,
    client_tls_mount,
    client_tls_volume,
    config_volume,
    confined,
    container_ports,
    field_env,
    http_probe,
    mount,
    pull_secrets,
    resources,
    token_mount,
    token_volume,
)
from tokenflow_operator.plan.rollout.nodes import ANY_TAINT, LINUX
from tokenflow_operator.plan.rollout.revisions import KEPT, stamped
from tokenflow_operator.plan.rollout.sites import SETTLED_S
from tokenflow_operator.settings import Images

COMPONENT: Final = "agent"
CAPABILITIES: Final = ("BPF", "PERFMON", "SYS_PTRACE")
_PORTS: Final = {"metrics": names.AGENT_PORT}
_CGROUPS: Final = "/host/sys/fs/cgroup"
_POD_LOGS: Final = "/host/var/log/pods"
_SPOOL: Final = "/var/lib/tokenflow/spool"
_TMP_SIZE: Final = "64Mi"
_GPU_ENV: Final = (
    {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"},
    {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "utility"},
)
"""Has NVIDIA's container runtime, where a node has it, bring in the driver's library without claiming a GPU."""
_FLUSH_S: Final = 30
_COMPILE_S: Final = 120
"""Seconds that compiling the probes may take on a busy node."""


def agent_objects(owner: Owner, config: AgentConfig, template: Manifest) -> tuple[Manifest, ...]:
    """Render a TelemetryAgent.

    Args:
        owner: the resource.
        config: what its agents run by.
        template: of the pods that are started from now on.
    """
    name = names.agent(owner.key.name)
    daemon_set = {
        "selector": {"matchLabels": owner.selector(COMPONENT)},
        "minReadySeconds": SETTLED_S,
        "revisionHistoryLimit": KEPT,
        # Which agent goes when is decided by the rollout, which knows more than whether a pod is ready.
        "updateStrategy": {"type": "OnDelete"},
        "template": template,
    }
    return (
        owner.service_account(name, COMPONENT),
        owner.config_map(name, COMPONENT, key=AGENT_CONFIG_KEY, document=config.model_dump_json(exclude_none=True)),
        owner.object(DAEMON_SET, name, COMPONENT, spec=daemon_set),
    )


def agent_template(owner: Owner, spec: TelemetryAgentSpec, images: Images, *, tls: Mapping[str, str]) -> Manifest:
    """Return the pod template that the spec asks for, with its revision.

    Args:
        owner: the resource.
        spec: what it asks for.
        images: to run.
        tls: name of the TLS Secret of each policy that serves by TLS.
    """
    pod = {
        "serviceAccountName": names.agent(owner.key.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **pull_secrets(images),
        # The libraries that processes have loaded, and the pods that hold a GPU, are known by their process ids.
        "hostPID": True,
        "priorityClassName": "system-node-critical",
        "nodeSelector": {**LINUX, **spec.node_selector},
        "tolerations": [t.model_dump(mode="json", exclude_none=True) for t in spec.tolerations or ANY_TAINT],
        "terminationGracePeriodSeconds": _FLUSH_S,
        "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(spec, images, tls)],
        "volumes": [
            config_volume("config", names.agent(owner.key.name)),
            token_volume(),
            *client_tls_volume(tls),
            _host_path("cgroup", "/sys/fs/cgroup"),
            _host_path("pod-logs", "/var/log/pods"),
            # A dash could be part of either name.
            _host_path("spool", f"/var/lib/tokenflow/{owner.key.namespace}/{owner.key.name}", "DirectoryOrCreate"),
            {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE}},
        ],
    }
    return stamped({"metadata": {"labels": owner.labels(COMPONENT)}, "spec": pod})


def _container(spec: TelemetryAgentSpec, images: Images, tls: Mapping[str, str]) -> Manifest:
    return {
        "name": COMPONENT,
        "image": spec.image or images.agent,
        "imagePullPolicy": images.pull_policy,
        "command": ["tokenflow-agent"],
        "args": [
            f"--config-file={names.AGENT_DIR}/{AGENT_CONFIG_KEY}",
            f"--token-file={names.TOKEN_FILE}",
            *([f"--client-tls-dir={names.CLIENT_TLS_DIR}"] if tls else []),
            f"--cgroup-root={_CGROUPS}",
            f"--pod-logs={_POD_LOGS}",
            f"--spool-dir={_SPOOL}",
            f"--port={names.AGENT_PORT}",
        ],
        "env": [*field_env(NODE_NAME="spec.nodeName"), *_GPU_ENV],
        "ports": container_ports(_PORTS),
        "startupProbe": http_probe("/healthz", "metrics", period_s=2, failures=_COMPILE_S // 2),
        "livenessProbe": http_probe("/healthz", "metrics", period_s=10, failures=3),
        "readinessProbe": http_probe("/readyz", "metrics", period_s=2, failures=2),
        "resources": resources(spec.resources, requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "256Mi"}),
        "securityContext": _security_context(spec.security),
        "terminationMessagePolicy": LAST_WORDS,
        "volumeMounts": [
            mount("config", names.AGENT_DIR),
            token_mount(),
            *client_tls_mount(tls),
            mount("cgroup", _CGROUPS),
            mount("pod-logs", _POD_LOGS),
            mount("spool", _SPOOL, read_only=False),
            mount("tmp", "/tmp", read_only=False),  # noqa: S108 - the container's own
        ],
    }


def _security_context(security: AgentSecurity) -> dict[str, Any]:
    if security is AgentSecurity.PRIVILEGED:
        return {"privileged": True, "readOnlyRootFilesystem": True}
    return confined(add=CAPABILITIES)


def _host_path(name: str, path: str, type_: str = "") -> Manifest:
    # Without a type a path that a node lacks takes away its own signal, not the pod.
    return {"name": name, "hostPath": {"path": path, "type": type_}}
