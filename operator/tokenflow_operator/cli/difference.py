"""What differs between two manifests, field by field: pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan.objects import INTENT_ANNOTATION

_SILENT_METADATA: Final = frozenset({"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"})
_SILENT_ANNOTATIONS: Final = frozenset(
    {
        INTENT_ANNOTATION,
        "deployment.kubernetes.io/revision",
        "deprecated.daemonset.template.generation",
        "kubectl.kubernetes.io/last-applied-configuration",
    }
)
_LONGEST: Final = 120
"""Characters of a value that is shown whole."""
_ABSENT: Final = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldChange:
    """One field before and after; ``None`` where it is absent."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} -> {_shown(self.after)}"


def differences(before: Manifest, after: Manifest) -> list[FieldChange]:
    """Return what differs between two states of an object, but for what the API server keeps account of itself."""
    return list(_between("", _spoken(before), _spoken(after)))


def _spoken(manifest: Manifest) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SILENT_METADATA}
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if k not in _SILENT_ANNOTATIONS}
    content = {key: value for key, value in manifest.items() if key not in ("status", "metadata")}
    return {**content, "metadata": {**metadata, "annotations": annotations}}


def _between(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if before == after:
        return
    match _opened(before), _opened(after):
        case dict() as old, dict() as new:
            for key in [*old, *(key for key in new if key not in old)]:
                yield from _between(_join(path, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
        case list() as old, list() as new if _named(old) and _named(new):
            items = [{item["name"]: item for item in items} for items in (old, new)]
            for name in [*items[0], *(name for name in items[1] if name not in items[0])]:
                yield from _between(f"{path}[{name}]", items[0].get(name, _ABSENT), items[1].get(name, _ABSENT))
        case _:
            yield FieldChange(
                path=path,
                before=None if before is _ABSENT else before,
                after=None if after is _ABSENT else after,
            )


def _opened(value: Any) -> Any:
    """Return the document that a string of JSON holds, such as those in ConfigMaps."""
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _named(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) and "name" in item for item in items)


def _join(path: str, key: str) -> str:
    # A key of a ConfigMap may have dots of its own.
    step = f"[{key}]" if "." in key else f".{key}"
    return f"{path}{step}".removeprefix(".")


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= _LONGEST:
        return text
    return f"{len(value)} {'characters' if isinstance(value, str) else 'items'}"
