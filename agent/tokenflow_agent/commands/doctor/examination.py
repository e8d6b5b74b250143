"""All that the doctor looks at, in the order in which it is told."""

import os
from collections.abc import Mapping
from functools import partial

from tokenflow_agent.commands.doctor import container, deliveries, gpus, kernel, pods, programs
from tokenflow_agent.commands.doctor.check import Question
from tokenflow_agent.commands.doctor.place import Place
from tokenflow_api.quantities import amount
from tokenflow_api.telemetry_agent import TelemetryAgentSpec


def examination(place: Place) -> Mapping[str, Question]:
    """Return the checks of a node, by name."""
    config, check = deliveries.configuration(place.config_file)
    spec = config.spec if config else TelemetryAgentSpec()
    questions: dict[str, Question] = {
        "kernel": partial(kernel.kernel, os.uname()),
        "BTF": partial(kernel.types, place.root),
        "capabilities": partial(kernel.capabilities, place.root),
        "programs": programs.ways,
        "compiler": programs.compiler,
        "memory": partial(container.memory, place.root),
        "spool": partial(container.spool, place.spool_dir, most_bytes=int(amount(spec.spool.max_size))),
        "cgroups": partial(pods.cgroups, place.cgroup_root),
        "pod names": partial(pods.names, place.pod_logs),
        "processes": partial(pods.processes, place.root),
        "GPU": partial(gpus.gpus, place.root, spec.gpu.mode),
        "config": lambda: [check],
        "token": partial(deliveries.token, place.token_file),
    }
    addresses = config.ingest if config else []
    for address in addresses:
        questions[f"hint service of {address.policy}"] = partial(deliveries.hint_service, address)
    if config and not addresses:
        questions["hint service"] = deliveries.no_hint_service
    return questions
