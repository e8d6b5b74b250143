"""Plots as SVG, drawn from numbers alone: nothing is loaded from elsewhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from e2e.bench.figures import Estimate

COLORS: Final = ("#888888", "#b07aa1", "#f28e2b", "#1b7f5c", "#2b6cb0", "#c9a227", "#d1495b")
_LEFT: Final = 60
_BELOW: Final = 44
_ABOVE: Final = 26
_TICKS: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Where a plot is drawn, and what its axis reaches to."""

    width: int
    height: int
    most: float

    def y(self, value: float) -> float:
        """Return the place of a value from the top."""
        return _ABOVE + (self.height - _ABOVE - _BELOW) * (1 - min(value, self.most) / self.most)


def bars(title: str, unit: str, groups: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Return bars in groups, with whiskers for their confidence intervals.

    Args:
        title: of the plot.
        unit: of the values.
        groups: for each group the estimates by arm.
    """
    arms = list(dict.fromkeys(arm for group in groups.values() for arm in group))
    most = max((estimate.high for group in groups.values() for estimate in group.values()), default=0.0)
    frame = Frame(width=max(420, _LEFT + len(groups) * (14 * len(arms) + 22)), height=280, most=_round_up(most))
    step = (frame.width - _LEFT) / max(1, len(groups))
    width = (step - 16) / max(1, len(arms))
    drawn = []
    for place, (name, group) in enumerate(groups.items()):
        left = _LEFT + place * step + 8
        for index, arm in enumerate(arms):
            if arm in group:
                drawn.append(_bar(frame, group[arm], left + index * width, width, COLORS[index % len(COLORS)], arm))
        drawn.append(_text(left + step / 2 - 8, frame.height - _BELOW + 16, name, anchor="middle"))
    return _framed(frame, title, unit, drawn, arms)


def lines(title: str, unit: str, curves: Mapping[str, Sequence[float]], *, step_s: float) -> str:
    """Return values over time.

    Args:
        title: of the plot.
        unit: of the values.
        curves: by arm, a value for each step.
        step_s: seconds between two values.
    """
    most = max((max(curve, default=0.0) for curve in curves.values()), default=0.0)
    longest = max((len(curve) for curve in curves.values()), default=1)
    frame = Frame(width=420, height=280, most=_round_up(most))
    across = (frame.width - _LEFT - 10) / max(1, longest - 1)
    drawn = []
    for index, curve in enumerate(curves.values()):
        points = " ".join(f"{_LEFT + at * across:.1f},{frame.y(value):.1f}" for at, value in enumerate(curve))
        color = COLORS[index % len(COLORS)]
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6"/>')
    drawn += [
        _text(_LEFT + at * across, frame.height - _BELOW + 16, f"{at * step_s:g} s", anchor="middle")
        for at in range(0, longest, max(1, (longest - 1) // _TICKS))
    ]
    return _framed(frame, title, unit, drawn, list(curves))


def _bar(frame: Frame, estimate: Estimate, left: float, width: float, color: str, arm: str) -> str:
    top, bottom, middle = frame.y(estimate.value), frame.y(0), left + width / 2
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(1.0, width - 1):.1f}" height="{bottom - top:.1f}"'
        f' fill="{color}"><title>{escape(arm)}: {estimate}</title></rect>'
        f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{frame.y(estimate.high):.1f}" y2="{frame.y(estimate.low):.1f}"'
        ' stroke="#222"/>'
    )


def _framed(frame: Frame, title: str, unit: str, drawn: Sequence[str], arms: Sequence[str]) -> str:
    parts = [
        f'<svg viewBox="0 0 {frame.width} {frame.height}" width="{frame.width}" height="{frame.height}" role="img">',
        _text(_LEFT, 15, f"{title} [{unit}]", weight="bold"),
    ]
    for tick in range(_TICKS + 1):
        value = frame.most * tick / _TICKS
        y = frame.y(value)
        parts.append(f'<line x1="{_LEFT}" x2="{frame.width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{value:g}", anchor="end"))
    parts += drawn
    left = float(_LEFT)
    for index, arm in enumerate(arms):
        y = frame.height - 10
        parts.append(f'<rect x="{left:.1f}" y="{y - 8}" width="8" height="8" fill="{COLORS[index % len(COLORS)]}"/>')
        parts.append(_text(left + 11, y, arm))
        left += 17 + 5.4 * len(arm)
    return "".join([*parts, "</svg>"])


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="10" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5 or 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10, 20) if step * power >= value)
