"""Prints one reading of this machine's GPUs as JSON, as the agent takes it: ``python -m e2e.gpu``."""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.gpu.session import Session
from tokenflow_agent.identity import Pods


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.gpu", description=__doc__)
    parser.add_argument("--between", type=float, default=1.0, help="seconds over which the SM occupancy is taken")
    arguments = parser.parse_args()
    pods = Pods(cgroup_root=Path("/sys/fs/cgroup"), log_root=Path("/var/log/pods"))
    session = Session(pods)
    try:
        session.read()
        time.sleep(arguments.between)
        started = time.perf_counter()
        reading = session.read()
        took_ms = (time.perf_counter() - started) * 1000
        session.close()
    except ProbeError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    seen = {
        "samples": reading.samples.model_dump(),
        "processes": reading.processes.model_dump(),
        "faults": [dataclasses.asdict(fault) for fault in (*reading.lost, *reading.unread)],
        "took_ms": round(took_ms, 3),
    }
    print(json.dumps(seen, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
