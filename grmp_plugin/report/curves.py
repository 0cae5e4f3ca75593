"""A chart of methods over the number of shots: lines of medians, named at their ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from grmp_plugin.report.svg import Drawing, Scale
from grmp_plugin.report.text import number, shortened

SERIES = 12
"""Number of colours in the stylesheet (classes `series-0` to `series-11`); then they repeat."""

_NAMES = 150.0  # pixels for the names at the right
_LINE = 15.0  # pixels between two names


@dataclass(frozen=True)
class Curve:
    """One method.

    Attributes:
        name: Its name.
        colour: Number of its colour.
        values: A value for each place on the axis; NaN where there is none.
        low: Lowest value of a split, as `values`.
        high: Highest value of a split.
    """

    name: str
    colour: int
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def curves(name: str, title: str, places: Sequence[str], lines: Sequence[Curve]) -> Markup:
    """Medians over shots, with whiskers from the lowest to the highest over the splits.

    Args:
        name: Id of the element, unique on the page.
        title: Title of the chart.
        places: Labels of the horizontal axis, at equal distances.
        lines: The methods.
    """
    left, right, top = 52.0, 560.0, 10.0
    bottom = top + max(260.0, _LINE * len(lines) + 20)
    ends = [value for line in lines for value in (*line.low, *line.high)]
    up = Scale.around(ends, bottom, top)
    step = (right - left) / len(places)
    described = "; ".join(
        f"{line.name}: {', '.join(number(value, 3) for value in line.values)}" for line in lines
    )
    drawing = Drawing(
        name, right + _NAMES, bottom + 40, title, f"Median SRCC at {', '.join(places)} shots. {described}."
    )
    for y, label in up.ticks():
        drawing.line("grid", left, y, right, y)
        drawing.text("tick end", left - 6, y + 4, label)
    drawing.line("axis", left, bottom, right, bottom)
    drawing.line("axis", left, bottom, left, top)
    across = [left + step * (place + 0.5) for place in range(len(places))]
    for x, label in zip(across, places, strict=True):
        drawing.text("tick middle", x, bottom + 15, label)
    drawing.text("label middle", (left + right) / 2, bottom + 32, "shots")
    drawing.text("label middle", 12, (top + bottom) / 2, "SRCC", turn=-90)
    for order, line in enumerate(lines):
        _draw(drawing, line, across, up, 3.0 * (order - (len(lines) - 1) / 2))
    _name_ends(drawing, lines, up, right, top)
    return drawing.markup()


def _draw(drawing: Drawing, line: Curve, across: Sequence[float], up: Scale, aside: float) -> None:
    """A line; moved aside a little, so that whiskers do not cover each other."""
    kind = f"series series-{line.colour % SERIES}"
    known = [
        (x + aside, value, low, high)
        for x, value, low, high in zip(across, line.values, line.low, line.high, strict=True)
        if not math.isnan(value)
    ]
    if len(known) > 1:
        drawing.path(f"{kind} curve-line", [(x, up(value)) for x, value, _, _ in known])
    for x, value, low, high in known:
        if low < high:
            drawing.line(f"{kind} splits", x, up(low), x, up(high))
        drawing.circle(f"{kind} dot", x, up(value), 3.5)


def _name_ends(drawing: Drawing, lines: Sequence[Curve], up: Scale, right: float, top: float) -> None:
    """Names at the height of the last values, moved apart where they would overlap."""
    ends = [
        (next(up(value) for value in reversed(line.values) if not math.isnan(value)), line)
        for line in lines
        if not all(map(math.isnan, line.values))
    ]
    ends.sort(key=lambda end: end[0])
    heights: list[float] = []
    for wanted, _ in ends:
        heights.append(max(wanted, heights[-1] + _LINE) if heights else max(wanted, top + 4))
    # What was pushed below the axis moves up, and takes those above it along.
    limit = up.start - 2
    for place in range(len(heights) - 1, -1, -1):
        heights[place] = min(heights[place], limit)
        limit = heights[place] - _LINE
    for height, (end, line) in zip(heights, ends, strict=True):
        drawing.line(f"series series-{line.colour % SERIES} leash", right - 8, end, right + 8, height)
        drawing.text(
            f"name series-name-{line.colour % SERIES}", right + 12, height + 4, shortened(line.name, 22)
        )
