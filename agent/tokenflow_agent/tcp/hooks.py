"""Where the kernel is watched: which program runs at which event, for which probes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tokenflow_agent.kernel.bpf import ProgramType
from tokenflow_api.telemetry_agent import Probe

PROBES: Final = (Probe.TCP_ROUND_TRIP_TIME, Probe.TCP_RETRANSMIT)


class Way(Enum):
    """How programs are tied to the kernel's events."""

    TYPED = ProgramType.TRACING
    """Tracepoints whose arguments are followed without helpers: the cheapest."""
    RAW = ProgramType.RAW_TRACEPOINT
    KPROBE = ProgramType.KPROBE
    """Entry of kernel functions, for kernels without the tracepoints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """A program, and what it waits for.

    Attributes:
        program: function in ``program.c``.
        tracepoint: event that it runs at.
        functions: kernel functions that do instead, where the event is entered.
        probes: those that need it.
    """

    program: str
    tracepoint: str
    functions: Sequence[str]
    probes: Sequence[Probe]


HOOKS: Final = (
    # How connections begin and end comes first: whoever meets a socket afterwards knows who dialed.
    Hook(program="state_changed", tracepoint="inet_sock_set_state", functions=["tcp_set_state"], probes=PROBES),
    Hook(program="socket_destroyed", tracepoint="tcp_destroy_sock", functions=["tcp_v4_destroy_sock"], probes=PROBES),
    Hook(
        program="segment_received",
        tracepoint="tcp_probe",
        functions=["tcp_rcv_established"],
        probes=[Probe.TCP_ROUND_TRIP_TIME],
    ),
    Hook(
        program="segment_sent_again",
        tracepoint="tcp_retransmit_skb",
        functions=["__tcp_retransmit_skb"],
        probes=[Probe.TCP_RETRANSMIT],
    ),
    Hook(
        program="synack_sent_again",
        tracepoint="tcp_retransmit_synack",
        functions=["tcp_rtx_synack"],
        probes=[Probe.TCP_RETRANSMIT],
    ),
    Hook(
        program="reset_sent",
        tracepoint="tcp_send_reset",
        functions=["tcp_send_active_reset", "tcp_v4_send_reset", "tcp_v6_send_reset"],
        probes=[Probe.TCP_RETRANSMIT],
    ),
    Hook(
        program="reset_received", tracepoint="tcp_receive_reset", functions=["tcp_reset"], probes=[Probe.TCP_RETRANSMIT]
    ),
)

OFFSETS: Final[Mapping[str, Sequence[str]]] = {
    "OFF_FAMILY": ("sock_common", "skc_family"),
    "OFF_STATE": ("sock_common", "skc_state"),
    "OFF_DADDR": ("sock_common", "skc_daddr"),
    "OFF_V6_DADDR": ("sock_common", "skc_v6_daddr"),
    "OFF_NUM": ("sock_common", "skc_num"),
    "OFF_DPORT": ("sock_common", "skc_dport"),
    "OFF_NET": ("sock_common", "skc_net", "net"),
    "OFF_NET_INODE": ("net", "ns", "inum"),
    "OFF_PROTOCOL": ("sock", "sk_protocol"),
    "OFF_SOCK_CGROUP": ("sock", "sk_cgrp_data", "cgroup"),
    "OFF_CGROUP_NODE": ("cgroup", "kn"),
    "OFF_NODE_ID": ("kernfs_node", "id"),
    "OFF_CA_STATE": ("inet_connection_sock", "icsk_ca_state"),
    "OFF_SRTT": ("tcp_sock", "srtt_us"),
    "OFF_MDEV": ("tcp_sock", "mdev_us"),
    "OFF_RACK_RTT": ("tcp_sock", "rack", "rtt_us"),
    "OFF_SND_UNA": ("tcp_sock", "snd_una"),
    "OFF_SND_NXT": ("tcp_sock", "snd_nxt"),
    "OFF_SND_WND": ("tcp_sock", "snd_wnd"),
    "OFF_WRITE_SEQ": ("tcp_sock", "write_seq"),
    "OFF_RCV_NXT": ("tcp_sock", "rcv_nxt"),
    "OFF_COPIED_SEQ": ("tcp_sock", "copied_seq"),
    "OFF_SEGS_IN": ("tcp_sock", "segs_in"),
    "OFF_SEGS_OUT": ("tcp_sock", "segs_out"),
    "OFF_TOTAL_RETRANS": ("tcp_sock", "total_retrans"),
    "OFF_DSACK_DUPS": ("tcp_sock", "dsack_dups"),
    "OFF_LOST": ("tcp_sock", "lost"),
    "OFF_RCV_OOOPACK": ("tcp_sock", "rcv_ooopack"),
    "OFF_RATE_DELIVERED": ("tcp_sock", "rate_delivered"),
    "OFF_RATE_INTERVAL": ("tcp_sock", "rate_interval_us"),
    "OFF_MSS": ("tcp_sock", "mss_cache"),
    "OFF_SKB_CB": ("sk_buff", "cb"),
    "OFF_SEQ": ("tcp_skb_cb", "seq"),
    "OFF_ACK_SEQ": ("tcp_skb_cb", "ack_seq"),
    "OFF_GSO_SEGS": ("tcp_skb_cb", "tcp_gso_segs"),
}
