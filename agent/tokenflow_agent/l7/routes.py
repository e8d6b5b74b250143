"""Names requests by templates, so that no path, and no id in it, is ever told."""

from collections.abc import Sequence
from typing import Final

from tokenflow_api.windows import OTHER_ROUTE

ANY: Final = "*"
_MAX_REMEMBERED: Final = 4096


class Routes:
    """Templates such as ``/v1/*``, ``*`` being one segment that is not empty.

    Where several fit, the one with the most literal segments names the request, then the first of them.

    Args:
        templates: as ``spec.http.pathTemplates`` has them.
    """

    def __init__(self, templates: Sequence[str]) -> None:
        ordered = sorted(templates, key=lambda template: template.split("/").count(ANY))
        self._templates = [(template, template.split("/")) for template in ordered]
        self._remembered: dict[str, str] = {}

    def name(self, target: str) -> str:
        """Return the template that fits a request's target, ``~other`` where none does.

        Args:
            target: path, or whole URL; the query is cut off before anything else.
        """
        path = target.partition("?")[0].partition("#")[0]
        if not path.startswith("/"):
            _, absolute, behind = path.partition("://")
            if not absolute:
                return OTHER_ROUTE
            path = "/" + behind.partition("/")[2]
        found = self._remembered.get(path)
        if found is None:
            found = self._match(path.split("/"))
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[path] = found
        return found

    def _match(self, segments: Sequence[str]) -> str:
        for template, parts in self._templates:
            if len(parts) == len(segments) and all(map(_fits, parts, segments)):
                return template
        return OTHER_ROUTE


def _fits(part: str, segment: str) -> bool:
    return bool(segment) if part == ANY else part == segment
