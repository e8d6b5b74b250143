"""What a new schema takes away from those who wrote for the old one: pure, from two schemas to sentences."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_LEAST = ("minimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "maxLength", "maxItems", "maxProperties")
_FIXED = ("type", "format", "pattern", "default", "x-kubernetes-list-type", "x-kubernetes-list-map-keys")


def broken_definitions(old: Schema, new: Schema) -> list[str]:
    """Return what breaks between two CustomResourceDefinitions of one resource."""
    versions = {version["name"]: version for version in new["spec"]["versions"]}
    found = []
    for before in old["spec"]["versions"]:
        name = before["name"]
        after = versions.get(name)
        if after is None or not after["served"]:
            found.append(f"{name} is no longer served")
            continue
        schemas = (version["schema"]["openAPIV3Schema"] for version in (before, after))
        found.extend(f"{name}: {words}" for words in broken(*schemas))
    return found


def broken(old: Schema, new: Schema, path: str = "") -> Iterator[str]:
    """Yield what an object of the old schema may no longer be, or no longer means, under the new one."""
    where = path or "the object"
    yield from (
        f"{where}: {key} changed from {old.get(key)!r} to {new.get(key)!r}"
        for key in _FIXED
        if old.get(key) != new.get(key)
    )
    yield from (
        f"{where}: {key} raised from {old.get(key)} to {new[key]}"
        for key in _LEAST
        if key in new and (key not in old or new[key] > old[key])
    )
    yield from (
        f"{where}: {key} lowered from {old.get(key)} to {new[key]}"
        for key in _MOST
        if key in new and (key not in old or new[key] < old[key])
    )
    yield from (f"{where}: {value!r} is no longer allowed" for value in _gone(old, new))
    yield from (
        f"{where}.{name} is required now" for name in new.get("required", []) if name not in old.get("required", [])
    )
    yield from _rules(old, new, where)
    yield from _inner(old, new, path)


def _gone(old: Schema, new: Schema) -> list[object]:
    if "enum" not in new:
        return []
    return [value for value in old.get("enum", ["any other value"]) if value not in new["enum"]]


def _rules(old: Schema, new: Schema, where: str) -> Iterator[str]:
    """Yield rules that objects of the old schema never met: those that speak of no field that is new."""
    known = {rule["rule"] for rule in old.get("x-kubernetes-validations", [])}
    added = new.get("properties", {}).keys() - old.get("properties", {}).keys()
    for rule in new.get("x-kubernetes-validations", []):
        if rule["rule"] not in known and not any(f"self.{name}" in rule["rule"] for name in added):
            yield f"{where}: a new rule: {rule['message']}"


def _inner(old: Schema, new: Schema, path: str) -> Iterator[str]:
    properties = new.get("properties", {})
    for name, before in old.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        if name in properties:
            yield from broken(before, properties[name], below)
        else:
            yield f"{below} is gone"
    for part, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if part in old and part in new:
            yield from broken(old[part], new[part], f"{path}{mark}")
