"""Compiles and attaches the program, hands its file descriptors to the parent, and ends.

Run as ``python -m tokenflow_agent.ebpf.compile FD``, FD being a UNIX socket: bcc brings a compiler of some
120 MB, which this process takes with it.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Final

from tokenflow_agent.ebpf import btf
from tokenflow_agent.errors import ProbeError

MAX_KEYS: Final = 16_384
PROBES: Final = ("tcp_probe", "tcp_retransmit_skb")
MAPS: Final = ("windows", "epoch", "counters")
_HERE: Final = Path(__file__).parent


def offsets(types: btf.Btf) -> dict[str, int]:
    """Return the constants that the program needs.

    Raises:
        ProbeError: the kernel lacks a struct or member.
    """
    return {
        "OFF_FAMILY": types.offset("sock_common", "skc_family"),
        "OFF_DADDR": types.offset("sock_common", "skc_daddr"),
        "OFF_V6_DADDR": types.offset("sock_common", "skc_v6_daddr"),
        "OFF_NUM": types.offset("sock_common", "skc_num"),
        "OFF_DPORT": types.offset("sock_common", "skc_dport"),
        "OFF_SOCK_CGROUP": types.offset("sock", "sk_cgrp_data", "cgroup"),
        "OFF_CGROUP_NODE": types.offset("cgroup", "kn"),
        "OFF_NODE_ID": types.offset("kernfs_node", "id"),
        "OFF_SRTT": types.offset("tcp_sock", "srtt_us"),
        "MAX_KEYS": MAX_KEYS,
    }


def attach(probes: list[str]) -> list[int]:
    """Compile, attach, and return the descriptors: of the maps, then of the attached programs.

    Raises:
        ProbeError: bcc is missing, or the kernel refused.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(_HERE / "headers")
    constants = offsets(btf.load())
    try:
        import bcc  # noqa: PLC0415 - large, and not on every node
    except ImportError as error:
        raise ProbeError("BCCMissing", "bcc is not installed: run 'apt-get install python3-bpfcc'") from error
    flags = [f"-D{name}={value}" for name, value in constants.items()]
    try:
        program = bcc.BPF(src_file=str(_HERE / "program.c"), cflags=[*flags, "-Wno-everything"])
    except Exception as error:
        # bcc raises bare Exceptions for whatever the compiler or the kernel refuses.
        raise ProbeError(
            "BPFNotPermitted",
            f"the kernel or the compiler refused the program ({error}):"
            " the container needs the capabilities BPF and PERFMON, and a writable /tmp",
        ) from error
    attached = program.raw_tracepoint_fds
    for probe in set(PROBES) - set(probes):
        os.close(attached.pop(probe.encode()))
    return [*(program[name].map_fd for name in MAPS), *attached.values()]


def main() -> int:
    """Send ``{"error": …}`` or ``{}`` with the descriptors."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        descriptors = attach(sys.argv[2:])
    except ProbeError as error:
        channel.sendall(json.dumps({"reason": error.reason, "message": error.message}).encode())
        return 1
    socket.send_fds(channel, [b"{}"], descriptors)
    # Whatever bcc would tidy up goes with the process; the parent holds what it needs.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
