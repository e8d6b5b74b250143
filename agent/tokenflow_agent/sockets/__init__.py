"""Reads the node's sockets without eBPF: by netlink's sock_diag, or from /proc."""
