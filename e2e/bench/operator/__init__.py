"""Measures the operator with nodes by the thousand, and shows that it comes to the same end whatever fails.

All of it runs against a control plane of its own on the loopback device, which may be broken and
thrown away, and whose nodes are fake: see ``plane`` and ``e2e.cluster.kwok``.
"""
