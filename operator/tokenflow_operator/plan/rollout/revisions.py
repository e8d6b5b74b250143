"""Which revision of the agents a pod runs, and the templates of earlier ones.

Kubernetes keeps the templates of a DaemonSet as ControllerRevisions, under a hash that only its controller can compute.
Ours is a digest of what was rendered, and stands in the template: so it is known before anything is
applied, and every pod and every ControllerRevision tells it.
"""

from dataclasses import dataclass
from typing import Final

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.objects import digest

REVISION_LABEL: Final = "tokenflow.io/revision"
KEPT: Final = 10
"""Templates that the DaemonSet's controller keeps besides those that pods still run."""
_PLACEMENT: Final = ("nodeSelector", "tolerations")
"""Fields that say where agents run, and not what they are: their change restarts none."""
_CONTROLLERS_OWN: Final = "controller-revision-hash"


def stamped(template: Manifest) -> Manifest:
    """Return the pod template with its revision among the labels."""
    metadata, spec = template["metadata"], template["spec"]
    made_of = {**template, "spec": {key: value for key, value in spec.items() if key not in _PLACEMENT}}
    return {**template, "metadata": {**metadata, "labels": {**metadata["labels"], REVISION_LABEL: digest(made_of)}}}


def revision_of(manifest: Manifest) -> str:
    """Return the revision of a pod, of a pod template or of a ControllerRevision.

    What was made before templates were stamped goes by the hash of the DaemonSet's controller.
    """
    labels = manifest["metadata"].get("labels", {})
    revision: str = labels.get(REVISION_LABEL) or labels.get(_CONTROLLERS_OWN, "")
    return revision


@dataclass(frozen=True, slots=True)
class History:
    """The templates that a DaemonSet had.

    Attributes:
        revisions: its ControllerRevisions.
    """

    revisions: tuple[Manifest, ...]

    def template(self, revision: str, *, placed_as: Manifest) -> Manifest | None:
        """Return the pod template of a revision, if it is kept, for the nodes that another template is for."""
        for kept in self.revisions:
            if revision and revision_of(kept) == revision:
                template = kept["data"]["spec"]["template"]
                placement = {key: placed_as["spec"][key] for key in _PLACEMENT}
                return {"metadata": template["metadata"], "spec": {**template["spec"], **placement}}
        return None

    def newest_but(self, revision: str) -> str:
        """Return the newest of the other revisions, empty if none is kept."""
        others = (kept for kept in self.revisions if revision_of(kept) != revision)
        newest = max(others, key=lambda kept: int(kept["revision"]), default=None)
        return revision_of(newest) if newest else ""
