"""Which pod a socket, a process or a cgroup belongs to, without asking Kubernetes.

The id that the kernel gives for a socket's cgroup is the inode of its directory; the directory's path holds
the pod's UID; and the node keeps one log directory per pod, called ``<namespace>_<pod>_<uid>``. Where a cgroup
tells nothing, the network namespace does: it is the pod's whose processes are in it.
"""

from tokenflow_agent.identity.names import Pod
from tokenflow_agent.identity.pods import Origin, Pods

__all__ = ["Origin", "Pod", "Pods"]
