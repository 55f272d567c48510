"""The geometry of pictures; the templates draw them (charts.html). Pure.

A plot is a box of 1000 by 100 units that is stretched to its place; labels stand beside it as text, so that
they stay readable on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitor.pages import text
from pool import units

WIDTH, HEIGHT = 1000.0, 100.0
#: Of a column's room, the part that is left free.
_GAP = 0.2
#: Times at which a scale of times has its lines (seconds).
_TIMES = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0, 86400.0, 864000.0, 8640000.0)


@dataclass(frozen=True)
class Box:
    """A bar, or a part of one: what it stands for is its tooltip."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points, in pieces where nothing is known in between."""

    name: str
    kind: str
    pieces: list[str]
    #: Points that stand alone, which no line would show.
    dots: list[tuple[float, float]]


@dataclass
class Chart:
    """One picture with all that is said of it in words."""

    title: str
    #: What there is to see, in a sentence: the picture's text alternative.
    summary: str
    #: (from the top in percent, label), and moments along the bottom (seconds since 1970), ends included.
    ys: list[tuple[float, str]]
    xs: list[float]
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    #: (kind, name) of what is told apart.
    legend: list[tuple[str, str]] = field(default_factory=list)
    #: The numbers themselves: column names, and rows whose first cell is a moment or text.
    head: list[str] = field(default_factory=list)
    rows: list[list[float | str]] = field(default_factory=list)
    #: Whole days, which are named by their date.
    daily: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.boxes and not self.lines


def top_of(largest: float) -> float:
    """A round number that is not less: 1, 2, 5 or 10 times a power of ten."""
    if largest <= 0 or not math.isfinite(largest):
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= largest * 0.9999999)


def stacked(
    columns: Sequence[Sequence[float]], kinds: Sequence[str], labels: Sequence[str], top: float = 0.0
) -> tuple[list[Box], float]:
    """Bars of parts that are put on each other, the first at the bottom; and what the full height is."""
    largest = max((sum(parts) for parts in columns), default=0.0)
    full = top or top_of(largest)
    room = WIDTH / max(1, len(columns))
    boxes = []
    for place, (parts, label) in enumerate(zip(columns, labels, strict=True)):
        base = HEIGHT
        for value, kind in zip(parts, kinds, strict=True):
            if value <= 0:
                continue
            high = min(HEIGHT, max(value / full * HEIGHT, 0.8))  # what is not nothing is seen
            base = max(0.0, base - high)
            x = place * room + room * _GAP / 2
            boxes.append(
                Box(round(x, 2), round(base, 2), round(room * (1 - _GAP), 2), round(high, 2), kind, label)
            )
    return boxes, full


def scale(full: float, form: str = "count") -> list[tuple[float, str]]:
    """Three labels for a scale from 0."""
    forms: dict[str, Callable[[float], str]] = {"count": _count, "usd": text.usd, "percent": "{:.0%}".format}
    write = forms[form]
    return [(0.0, write(full)), (50.0, write(full / 2)), (100.0, write(0))]


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def times(
    series: Sequence[tuple[str, str, Sequence[float | None]]],
) -> tuple[list[Line], list[tuple[float, str]]]:
    """Lines of times (seconds) on a logarithmic scale, and its labels; ``series``: name, kind, values."""
    known = [value for _, _, values in series for value in values if value is not None and value > 0]
    if not known:
        return [], []
    low = max((each for each in _TIMES if each <= min(known)), default=_TIMES[0])
    high = min((each for each in _TIMES if each >= max(known)), default=_TIMES[-1])
    if high <= low:
        high = _TIMES[min(len(_TIMES) - 1, _TIMES.index(low) + 1)]
    span = math.log(high / low)

    def y(value: float) -> float:
        part = math.log(max(value, low) / low) / span
        return round(HEIGHT * (1 - min(1.0, part)), 2)

    lines = [_line(name, kind, values, y) for name, kind, values in series]
    labels = [(y(each), units.short(each)) for each in _TIMES if low <= each <= high]
    return lines, labels


def _line(name: str, kind: str, values: Sequence[float | None], y: Callable[[float], float]) -> Line:
    room = WIDTH / max(1, len(values))
    pieces: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((round((place + 0.5) * room, 2), y(value)))
    drawn = [" ".join(f"{x},{height}" for x, height in piece) for piece in pieces if len(piece) > 1]
    return Line(name, kind, drawn, [piece[0] for piece in pieces if len(piece) == 1])


def moments(first: float, last: float, count: int = 5) -> list[float]:
    """Moments along the bottom, evenly apart, ends included."""
    return [first + (last - first) * place / (count - 1) for place in range(count)]
