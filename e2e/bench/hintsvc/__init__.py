"""How quick the hint service is, how exact its quotas are, and what of it survives.

Replicas run as real processes with a real Redis on the loopback device, pinned to cores of their own, and so do
the peers that they are compared with. The loads are programs of their own on other cores.
"""
