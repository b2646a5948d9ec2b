# SPDX-License-Identifier: MIT
"""Line charts as small SVG elements: text, in the page's own colours, readable without a script.

Colours are the page's: a line carries a CSS class (`s0`, `s1` ...) and takes its colour from it. page.js reads the
`data-` attributes to tell the value under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_RIGHT, _TOP, _BOTTOM = 10, 10, 38
_CHARACTER_WIDTH = 6.2
_MAX_VERTICES = 600

XY = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis: what it shows, and how.

    Args:
        digits: after the decimal point, of a value under the pointer; 0 for counts, which get whole ticks.
    """

    label: str
    log: bool = False
    digits: int = 2


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Args:
        css_class: gives it its colour.
        marker: 0..4, the shape of its points (a second sign beside the colour); None for a bare line.
        titles: what to say at each point; by default its coordinates.
        faint: in the background, without a name.
    """

    name: str
    css_class: str
    points: Sequence[XY]
    marker: int | None = None
    titles: Sequence[str] = ()
    dashed: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Rule:
    """A vertical line with a word at it."""

    x: float
    label: str


def line_chart(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    title: str,
    width: int = 360,
    height: int = 260,
    rules: Sequence[Rule] = (),
    extra_class: str = "",
) -> str:
    """An <svg> element with the lines, axes and grid; "" where there is no point to draw.

    Args:
        title: what a screen reader says.
        width, height: of its coordinate system; the element itself is as wide as its parent.
    """
    xs = [point[0] for line in lines for point in line.points]
    ys = [point[1] for line in lines for point in line.points]
    if not xs:
        return ""
    bottom, right = height - _BOTTOM, width - _RIGHT
    down = _Scale.covering(ys, y.log, bottom, _TOP)
    y_ticks = down.ticks(most=int((bottom - _TOP) / 32))
    left = 22 + math.ceil(_CHARACTER_WIDTH * max(len(label) for _, label in y_ticks))
    across = _Scale.covering(xs, x.log, left, right)
    parts = [
        f'<svg class="chart {extra_class}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"'
        f' data-x="{across.as_data()}" data-y="{down.as_data()}"'
        f' data-x-axis="{escape(x.label)}|{x.digits}" data-y-axis="{escape(y.label)}|{y.digits}">'
    ]
    for value, label in across.ticks(most=int((right - left) / 50), whole=x.digits == 0):
        at = across(value)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{label}</text>')
    for value, label in y_ticks:
        at = down(value)
        parts.append(f'<path class="grid" d="M{left} {at:.1f}H{right}"/>')
        parts.append(f'<text class="tick" x="{left - 5}" y="{at + 3.5:.1f}" text-anchor="end">{label}</text>')
    parts.append(
        f'<text class="axis" x="{(left + right) / 2:.0f}" y="{height - 5}" text-anchor="middle">'
        f"{escape(x.label)}</text>"
        f'<text class="axis" transform="translate(10 {(_TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    for index, rule in enumerate(rules):
        at = across(rule.x)
        fits = at + 4 + _CHARACTER_WIDTH * len(rule.label) < right
        parts.append(
            f'<path class="rule" d="M{at:.1f} {_TOP}V{bottom}"/>'
            f'<text class="tick" x="{at + (4 if fits else -4):.1f}" y="{_TOP + 9 + 13 * index}"'
            f' text-anchor="{"start" if fits else "end"}">{escape(rule.label)}</text>'
        )
    # What was named first is drawn last, on top.
    faint, named = [line for line in lines if line.faint], [line for line in lines if not line.faint]
    parts += [_line(line, across, down) for line in [*faint, *named[::-1]]]
    return "".join(parts) + "</svg>"


def swatch(css_class: str, marker: int | None, dashed: bool = False) -> str:
    """A short piece of a line with its marker, for a legend."""
    dash = " dashed" if dashed else ""
    shape = _marker(marker, 13, 6) if marker is not None else ""
    return (
        f'<svg class="swatch {css_class}" viewBox="0 0 26 12" width="26" height="12" aria-hidden="true">'
        f'<path class="line{dash}" d="M0 6H26"/>{shape}</svg>'
    )


def _line(line: Line, across: _Scale, down: _Scale) -> str:
    points = list(line.points)
    if len(points) > _MAX_VERTICES:  # more than there are pixels; the last one stays
        stride = -(-len(points) // _MAX_VERTICES)
        points = points[::stride] + ([points[-1]] if (len(points) - 1) % stride else [])
    places = [(across(px), down(py)) for px, py in points]
    path = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
    classes = "line" + (" dashed" if line.dashed else "") + (" faint" if line.faint else "")
    named = f' data-name="{escape(line.name)}"' if not line.faint else ""
    shapes = [f'<path class="{classes}" d="{path}"{named}/>']
    if line.marker is not None:
        titles = line.titles or [""] * len(places)
        for (px, py), title in zip(places, titles, strict=True):
            shapes.append(_marker(line.marker, px, py, title))
    return f'<g class="{line.css_class}">' + "".join(shapes) + "</g>"


def _marker(kind: int, x: float, y: float, title: str = "") -> str:
    said = f"<title>{escape(title)}</title>" if title else ""
    shape = (
        "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0Z",  # circle
        "M-3.2 -3.2H3.2V3.2H-3.2Z",  # square
        "M0 -4.2L4 3H-4Z",  # triangle
        "M0 -4.4L4.4 0L0 4.4L-4.4 0Z",  # diamond
        "M-4 -3L4 -3L0 4.2Z",  # triangle on its tip
    )[kind % 5]
    return f'<path class="pt" transform="translate({x:.1f} {y:.1f})" d="{shape}">{said}</path>'


@dataclass(frozen=True)
class _Scale:
    """Values -> places along an axis."""

    low: float
    high: float
    log: bool
    start: float
    end: float

    @classmethod
    def covering(cls, values: Sequence[float], log: bool, start: float, end: float) -> _Scale:
        low, high = min(values), max(values)
        if log:
            margin = max(0.04 * math.log(high / low), 0.05)
            return cls(low * math.exp(-margin), high * math.exp(margin), log, start, end)
        margin = 0.05 * (high - low) or 0.5
        # No margin below zero, where counts begin.
        return cls(low - (margin if low else 0.0), high + margin, log, start, end)

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        share = ((math.log(value) if self.log else value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def as_data(self) -> str:
        """For page.js, to turn places back into values."""
        return f"{self.low:.8g} {self.high:.8g} {self.start:g} {self.end:g} {int(self.log)}"

    def ticks(self, most: int, *, whole: bool = False) -> list[tuple[float, str]]:
        """Round values inside, `most` or fewer where that can be, and how to write them."""
        most = max(2, most)
        if self.log and len(values := self._log_ticks(most)) >= 2:
            return [
                (value, f"{value:.6g}" if value >= 1e-3 else f"{value:.0e}".replace("e-0", "e-")) for value in values
            ]
        span = self.high - self.low
        magnitude = math.floor(math.log10(span))
        steps = [size * 10.0**power for power in range(magnitude - 2, magnitude + 3) for size in (1, 2, 5)]
        step = next(step for step in steps if span / step <= most and (step >= 1 or not whole))
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [(number * step, f"{number * step:.{digits}f}") for number in range(first, last + 1)]

    def _log_ticks(self, most: int) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values: list[float] = []
        for leading in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            values = [digit * 10.0**power for power in powers for digit in leading]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) <= most:
                break
        return values
