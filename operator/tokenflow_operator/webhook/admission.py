"""AdmissionReview, version v1, as the API server asks and is answered."""

from dataclasses import dataclass
from typing import Any, Final

from tokenflow_operator.errors import AdmissionRequestError
from tokenflow_operator.keys import Key
from tokenflow_operator.kube import Manifest

_API_VERSION: Final = "admission.k8s.io/v1"
_REFUSED: Final = 422
_MOST_WARNINGS: Final = 8
_MOST_CHARACTERS: Final = 400
"""The API server cuts all warnings of an answer together at 4096."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is about to be written.

    Attributes:
        uid: by which the answer is matched.
        key: of the resource.
        after: it as it would be.
        before: it as it is; nothing where it is created.
    """

    uid: str
    key: Key
    after: Manifest
    before: Manifest | None

    @property
    def changes_spec(self) -> bool:
        """Whether there is something to judge: nobody is kept from labels, finalizers or a resource that goes."""
        goes = "deletionTimestamp" in self.after["metadata"]
        return not goes and (self.before is None or self.before.get("spec") != self.after.get("spec"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The answer.

    Attributes:
        refusal: why it may not be written; empty where it may.
        warnings: shown to whoever writes it.
    """

    refusal: str = ""
    warnings: tuple[str, ...] = ()


def parse(document: Any) -> Request:
    """Return the question of an AdmissionReview.

    Raises:
        AdmissionRequestError: it is none.
    """
    try:
        request = document["request"]
        after = request["object"]
        name = after["metadata"].get("name") or request.get("name", "")
        return Request(
            uid=str(request["uid"]),
            key=Key(kind=str(request["kind"]["kind"]), namespace=str(request["namespace"]), name=str(name)),
            after=after,
            before=request.get("oldObject"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise AdmissionRequestError(f"no AdmissionReview of {_API_VERSION} with an object: {error}") from error


def answer(request: Request, verdict: Verdict) -> Manifest:
    """Return the AdmissionReview that answers."""
    response: Manifest = {"uid": request.uid, "allowed": not verdict.refusal}
    if verdict.refusal:
        response["status"] = {"code": _REFUSED, "reason": "Invalid", "message": verdict.refusal}
    if verdict.warnings:
        response["warnings"] = [warning[:_MOST_CHARACTERS] for warning in verdict.warnings[:_MOST_WARNINGS]]
    return {"apiVersion": _API_VERSION, "kind": "AdmissionReview", "response": response}
