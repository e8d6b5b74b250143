"""Where the kernel and TLS libraries are watched: which programs run at which events."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from tokenflow_agent.kernel.bpf import ProgramType


class Way(Enum):
    """How data is noticed that processes move to and from their sockets.

    Attributes:
        kind: type of the programs at tracepoints.
        tracepoints: events, and the programs of the same names that run there.
    """

    SOCKETS = ProgramType.TRACING, ("sock_send_length", "sock_recv_length")
    """Where a socket has moved data (Linux 6.3): no other system call of the machine pays for it."""
    CALLS = ProgramType.TRACING, ("sys_exit",)
    """At the end of each system call."""
    RAW = ProgramType.RAW_TRACEPOINT, ("sys_exit",)
    """Likewise, on kernels that do not take programs with typed arguments."""

    def __init__(self, kind: ProgramType, moved: tuple[str, ...]) -> None:
        self.kind = kind
        self.tracepoints = (*moved, "inet_sock_set_state")

    @property
    def typed(self) -> bool:
        """Whether the arguments of programs are followed without helpers."""
        return self.kind is ProgramType.TRACING

    @property
    def macros(self) -> Mapping[str, int]:
        """What the compiler is told of it."""
        return {**({"DIRECT": 1} if self.typed else {}), **({"SOCKETS": 1} if self is Way.SOCKETS else {})}


FUNCTIONS: Final = {
    "SSL_read": "tls_read",
    "SSL_write": "tls_write",
    "SSL_read_ex": "tls_read_ex",
    "SSL_write_ex": "tls_write_ex",
    "SSL_free": "tls_free",
}
"""Functions of a TLS library, and the programs that run as they are entered."""
RETURN: Final = "tls_return"
"""The program that runs as the first four return."""
STEPS: Final = {1: "http1_step", 2: "http2_step", 3: "sql_step", 4: "sql_step", 6: "head_step", 7: "events_step"}
"""Programs by their slot: the protocol of the connection, or the step (see ``exchange.h``)."""
TLS_STEPS: Final = {1: "tls_http1_step", 2: "tls_http2_step", 6: "tls_head_step", 7: "tls_events_step"}
OFFSETS: Final[Mapping[str, Sequence[str]]] = {
    "OFF_TASK_FILES": ("task_struct", "files"),
    "OFF_FILES_TABLE": ("files_struct", "fdt"),
    "OFF_TABLE_FILES": ("fdtable", "fd"),
    "OFF_FILE_INODE": ("file", "f_inode"),
    "OFF_FILE_PRIVATE": ("file", "private_data"),
    "OFF_INODE_MODE": ("inode", "i_mode"),
    "OFF_SOCKET_SK": ("socket", "sk"),
    "OFF_SK_PROTOCOL": ("sock", "sk_protocol"),
    "OFF_FAMILY": ("sock_common", "skc_family"),
    "OFF_NUM": ("sock_common", "skc_num"),
    "OFF_DPORT": ("sock_common", "skc_dport"),
    "OFF_NET": ("sock_common", "skc_net"),
    "OFF_NET_INODE": ("net", "ns", "inum"),
    "OFF_SOCK_CGROUP": ("sock", "sk_cgrp_data", "cgroup"),
    "OFF_CGROUP_NODE": ("cgroup", "kn"),
    "OFF_NODE_ID": ("kernfs_node", "id"),
}
