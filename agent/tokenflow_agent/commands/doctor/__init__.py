"""``tokenflow-agent doctor``: checks what the agent needs of its node, and says what to do."""

import argparse
import json
import sys
from dataclasses import asdict

from tokenflow_agent.commands.doctor.check import Check, State, limited
from tokenflow_agent.commands.doctor.examination import examination
from tokenflow_agent.commands.doctor.place import Place


def main(arguments: argparse.Namespace) -> int:
    """Check this node; return 1 where something failed."""
    place = Place(
        cgroup_root=arguments.cgroup_root,
        pod_logs=arguments.pod_logs,
        config_file=arguments.config_file,
        token_file=arguments.token_file,
        spool_dir=arguments.spool_dir,
    )
    checks: list[Check] = []
    for name, question in examination(place).items():
        found = limited(name, question)
        checks += found
        if not arguments.json:
            _print("\n".join(str(check) for check in found))
    if arguments.json:
        _print(json.dumps([asdict(check) for check in checks], indent=2))
    return 1 if any(check.state is State.FAIL for check in checks) else 0


def _print(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
