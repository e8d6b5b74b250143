"""The boundary to the Kubernetes API: plain manifests in and out, one tree of errors."""

from tokenflow_operator.kube.client import FIELD_MANAGER, Kube
from tokenflow_operator.kube.kinds import Kind
from tokenflow_operator.kube.objects import Manifest, ObjectRef

__all__ = ["FIELD_MANAGER", "Kind", "Kube", "Manifest", "ObjectRef"]
