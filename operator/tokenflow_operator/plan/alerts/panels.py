"""Panels of a Grafana dashboard, as data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

_COLUMNS: Final = 24
"""Width of a dashboard, in Grafana's own units."""
_HEIGHT: Final = 8
_STAT_HEIGHT: Final = 4
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What is drawn: a PromQL expression, and a template of the names of its series."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One picture.

    Attributes:
        description: what it tells, for its tooltip.
        unit: by Grafana's name of it.
        threshold: value from which on it is bad, if there is one.
        low_is_bad: whether it is bad below the threshold instead.
        newest: whether only the newest value is shown, large.
        width: of Grafana's 24 columns.
    """

    title: str
    series: tuple[Series, ...]
    description: str = ""
    unit: str = "short"
    threshold: float | None = None
    low_is_bad: bool = False
    newest: bool = False
    width: int = 8

    @property
    def height(self) -> int:
        """Height in Grafana's own units."""
        return _STAT_HEIGHT if self.newest else _HEIGHT

    def json(self, *, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel as Grafana reads it, at a place of the grid."""
        custom = {} if self.newest else {"custom": {"fillOpacity": 8, "showPoints": "never", **self._drawn_threshold()}}
        options = (
            {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
            if self.newest
            else {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
        )
        return {
            "id": number,
            "type": "stat" if self.newest else "timeseries",
            "title": self.title,
            "description": self.description,
            "datasource": _DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {
                "defaults": {"unit": self.unit, "min": 0, "thresholds": self._thresholds(), **custom},
                "overrides": [],
            },
            "options": options,
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "expr": each.expression,
                    "legendFormat": each.legend,
                }
                for index, each in enumerate(self.series)
            ],
        }

    def _thresholds(self) -> dict[str, Any]:
        good, bad = ("red", "green") if self.low_is_bad else ("green", "red")
        steps: list[dict[str, Any]] = [{"color": good if self.threshold is not None else "green", "value": None}]
        if self.threshold is not None:
            steps.append({"color": bad, "value": self.threshold})
        return {"mode": "absolute", "steps": steps}

    def _drawn_threshold(self) -> dict[str, Any]:
        return {} if self.threshold is None else {"thresholdsStyle": {"mode": "line"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Panels that belong together, under a heading."""

    title: str
    panels: tuple[Panel, ...]


def grid(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows one below the other, their panels from left to right."""
    return list(_grid(rows))


def _grid(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for row in rows:
        number += 1
        position = {"h": 1, "w": _COLUMNS, "x": 0, "y": y}
        yield {"id": number, "type": "row", "title": row.title, "gridPos": position, "panels": []}
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield panel.json(number=number, x=x, y=y)
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
