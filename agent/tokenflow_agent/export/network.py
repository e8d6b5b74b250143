"""Figures of connections and accept queues.

A pod's clients in several networks are rows of their own, and one series here: its round-trip times and queues
are those of the client network where they are worst, its mean is that of all samples.
"""

from typing import Final

from tokenflow_agent.export.model import counter, gauge
from tokenflow_agent.export.series import Count, Last, Merge, Node, SeriesTable, total

MAX_SERIES: Final = 1024
_PORT: Final = {"namespace": "pod_namespace", "pod": "pod_name", "port": "service_port"}


def connections(node: Node) -> SeriesTable:
    """Return the series of ``TcpWindows``."""
    return SeriesTable(
        labels={**_PORT, "direction": "direction"},
        most=MAX_SERIES,
        node=node,
        counts=[
            Count(counter("network_retrans_count", "TCP segments sent again."), "retransmits"),
            Count(counter("network_spurious_retrans", "TCP segments sent again for nothing."), "spurious"),
            Count(counter("network_segments_received", "TCP segments received."), "segments"),
            Count(counter("network_segments_sent", "TCP segments sent."), "sent"),
            Count(counter("network_segments_lost", "TCP segments that the kernel took for lost."), "lost"),
            Count(counter("network_segments_out_of_order", "TCP segments received early."), "out_of_order"),
            Count(counter("network_resets", "Connections that were reset."), "resets"),
            Count(counter("network_zero_windows", "Times that a peer's window closed."), "zero_windows"),
        ],
        gauges=[
            Last(
                metric=gauge("network_rtt_us", "Mean TCP round-trip time."),
                column="rtt_sum_us",
                merge=total,
                over="samples",
            ),
            _rtt("network_rtt_min_us", "Least TCP round-trip time.", "rtt_min_us", merge=min),
            _rtt("network_rtt_max_us", "Longest TCP round-trip time.", "rtt_max_us"),
            _rtt("network_rtt_p50_us", "Median of the TCP round-trip times.", "rtt_p50_us"),
            _rtt("network_rtt_p95_us", "95th percentile of the TCP round-trip times.", "rtt_p95_us"),
            _rtt("network_rtt_p99_us", "99th percentile of the TCP round-trip times.", "rtt_p99_us"),
            _rtt("network_srtt_us", "TCP round-trip time as the kernel smooths it.", "srtt_us"),
            _rtt("network_rttvar_us", "Variation of the TCP round-trip time, by the kernel.", "rttvar_us"),
            _rtt("network_path_rtt_min_us", "Least round-trip time of 10 s.", "path_min_rtt_us", merge=min),
            Last(metric=gauge("network_connections", "Connections in use."), column="connections", merge=total),
            Last(
                metric=gauge("network_connections_congested", "Connections in recovery or loss."),
                column="congested_connections",
                merge=total,
            ),
            Last(metric=gauge("network_unsent_bytes", "Longest send queue of a connection."), column="unsent_bytes"),
            Last(metric=gauge("network_unread_bytes", "Longest receive queue of a connection."), column="unread_bytes"),
            Last(
                metric=gauge(
                    "network_delivery_bytes_per_second",
                    "Mean delivery rate of a connection, as the kernel estimates it.",
                ),
                column="delivery_bytes_per_second",
                merge=min,
            ),
        ],
    )


def accept_queues(node: Node) -> SeriesTable:
    """Return the series of ``ListenWindows``."""
    return SeriesTable(
        labels=_PORT,
        most=MAX_SERIES,
        node=node,
        counts=[
            Count(counter("socket_backlog_drops", "Connections that were turned away."), "drops"),
            Count(counter("socket_backlog_overflows", "Those of them that found the queue full."), "overflows"),
        ],
        gauges=[
            Last(
                metric=gauge("socket_backlog_ratio", "Length of the accept queue over its limit."),
                column="backlog",
                merge=total,
                over="backlog_limit",
            ),
            Last(
                metric=gauge("socket_backlog_connections", "Length of the accept queue."),
                column="backlog",
                merge=total,
            ),
            Last(
                metric=gauge("socket_backlog_limit_connections", "Limit of the accept queue."),
                column="backlog_limit",
                merge=total,
            ),
        ],
    )


def _rtt(name: str, words: str, column: str, *, merge: Merge = max) -> Last:
    return Last(metric=gauge(name, words), column=column, merge=merge, measured=True)
