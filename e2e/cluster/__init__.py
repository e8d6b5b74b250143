"""A real Kubernetes on one Linux machine, built from Go modules: no Docker, no registry.

Every node is a kubelet and a containerd in network and UTS namespaces of their own, so that what the
nodes do to one another is what real ones do. All of it goes with ``down``.
"""
