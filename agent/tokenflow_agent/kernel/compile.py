"""Compiles and loads programs, hands their descriptors to the parent, and ends.

Run as ``python -m tokenflow_agent.kernel.compile FD``, FD being a UNIX socket on which the unit comes in: bcc
brings a compiler of some 120 MB, which this process takes with it.
"""

import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any, Final

from tokenflow_agent.errors import KernelError, ProbeError
from tokenflow_agent.kernel import btf
from tokenflow_agent.kernel.bpf import REMEDY, ProgramType, load_program
from tokenflow_agent.kernel.capabilities import may_load_programs
from tokenflow_agent.kernel.maps import BpfMap

MAX_REQUEST_BYTES: Final = 1 << 16
_HEADERS: Final = Path(__file__).parent / "headers"
_SLOT: Final = struct.Struct("=I")


def load(unit: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """Return which maps and programs the descriptors are, and the descriptors.

    Args:
        unit: ``tokenflow_agent.kernel.loader.Unit`` as JSON.

    Raises:
        ProbeError: bcc is missing, the source does not compile, or the kernel refused.
    """
    if not may_load_programs():
        raise KernelError("BPFNotPermitted", f"BPF programs may not be loaded: {REMEDY}", lasting=True)
    types = btf.load(Path(unit["btf"]))
    constants = dict(unit["constants"])
    constants |= {name: types.offset(*members) for name, members in unit["offsets"].items()}
    # What this kernel lacks is noticed before a second is spent on the compiler.
    tracepoints = {
        program["name"]: types.tracepoint(program["target"])
        for program in unit["programs"]
        if program["target"] and program["kind"] != ProgramType.KPROBE
    }
    try:
        import bcc  # noqa: PLC0415 - large, and not on every node
    except ImportError as error:
        raise ProbeError("BCCMissing", "bcc is not installed: run 'apt-get install python3-bpfcc'") from error
    os.environ["BCC_KERNEL_SOURCE"] = str(_HEADERS)
    flags = [f"-D{name}={value}" for name, value in constants.items()]
    folders = [f"-I{_HEADERS.parent}", f"-I{Path(unit['source']).parent}"]
    try:
        module = bcc.BPF(src_file=unit["source"], cflags=[*flags, *folders, "-Wno-everything"])
        maps = {name: module[name].map_fd for name in unit["maps"]}
    except Exception as error:
        # bcc raises bare Exceptions for whatever the compiler, or the kernel with a map, refuses.
        words = f"{error}: give the agent 256Mi of memory and a writable /tmp"
        raise ProbeError("CompilerFailed", words) from error
    programs = {
        program["name"]: load_program(
            module.dump_func(program["name"].encode()),
            kind=ProgramType(program["kind"]),
            name=f"tokenflow_{program['name']}",
            attach_btf_id=tracepoints[program["name"]] if program["kind"] == ProgramType.TRACING else 0,
        )
        for program in unit["programs"]
    }
    for step in unit["steps"]:
        _put(maps[step["table"]], step["slot"], programs[step["program"]])
    return {"maps": list(maps), "programs": list(programs)}, [*maps.values(), *programs.values()]


def _put(table: int, slot: int, program: int) -> None:
    try:
        BpfMap(table, key=_SLOT, value=_SLOT).put((slot,), (program,))
    except OSError as error:
        raise KernelError("ProgramRefused", f"the kernel refused to tie programs together: {error.strerror}") from error


def main() -> int:
    """Take a unit, and send ``{"error": …}`` or what was loaded, with the descriptors."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    unit = json.loads(channel.recv(MAX_REQUEST_BYTES))
    try:
        names, descriptors = load(unit)
    except ProbeError as error:
        refusal = {"reason": error.reason, "message": error.message, "lasting": error.lasting}
        channel.sendall(json.dumps(refusal).encode())
        return 1
    socket.send_fds(channel, [json.dumps(names).encode()], descriptors)
    # Whatever bcc would tidy up goes with the process; the parent holds what it needs.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
