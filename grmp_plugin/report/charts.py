"""Charts of the reports: scatter plot, interval plot, heat map and histogram."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from grmp_plugin.printable import counted
from grmp_plugin.report.svg import Drawing, Scale, axes, round_step
from grmp_plugin.report.text import interval, number, shortened
from grmp_plugin.statistics.bootstrap import Interval

Array = NDArray[np.float64]

MAX_POINTS = 2000
"""Most points of a scatter plot, to keep the page small."""

_NAME_LENGTH = 26
# Average width of a character in a label, pixels; the page's font is not known here.
_CHARACTER = 6.6
_BARS = 20


@dataclass(frozen=True)
class Estimate:
    """One row of the interval plot.

    Attributes:
        name: The metric.
        value: nan where undefined.
        bounds: The interval.
        leads: Whether this is the best value.
        tied: Whether it is not significantly different from the best.
    """

    name: str
    value: float
    bounds: Interval
    leads: bool
    tied: bool


def scatter(
    name: str, title: str, scores: Array, mos: Array, curve: Array | None, names: tuple[str, str]
) -> Markup:
    """Score against MOS with the fitted curve; of more than `MAX_POINTS` a fixed random subset is drawn.

    Args:
        name: Id of the element, unique on the page.
        title: Title of the chart.
        scores: (N,), finite.
        mos: (N,), finite.
        curve: (K, 2) score and MOS, or None.
        names: Labels of the axes, score and MOS.
    """
    across = Scale.around(scores, 52, 322)
    up = Scale.around(mos, 216, 10)
    fitted = "no curve could be fitted" if curve is None else "with the fitted 4-parameter logistic"
    drawing = Drawing(name, 336, 256, title, f"{names[0]} against {names[1]} of {len(mos)} images, {fitted}.")
    axes(drawing, across, up, names)
    shown = np.arange(len(mos))
    if len(mos) > MAX_POINTS:
        shown = np.sort(np.random.default_rng(0).choice(len(mos), MAX_POINTS, replace=False))
    for score, opinion in zip(scores[shown], mos[shown], strict=True):
        drawing.circle("point", across(score), up(opinion), 2)
    if curve is not None:
        # The logistic may leave the range of the MOS, and would then cross the labels.
        inside = [(across(x), up(min(max(y, up.low), up.high))) for x, y in curve]
        drawing.path("curve-edge", inside)
        drawing.path("curve", inside)
    return drawing.markup()


def intervals(name: str, estimates: Sequence[Estimate], title: str = "SRCC with 95% intervals") -> Markup:
    """SRCC of every metric with its interval, in the order given; marks set the best apart."""
    # Names above the lines instead of beside them, so that the chart fits a phone.
    row, top, left, right = 40.0, 4.0, 12.0, 292.0
    bottom = top + row * len(estimates)
    ends = [end for one in estimates for end in (one.value, *one.bounds)]
    across = Scale.around(ends, left, right)
    shown = [f"{number(one.value, 3)} {interval(one.bounds, 3)}".strip() for one in estimates]
    description = "; ".join(f"{one.name} {words}" for one, words in zip(estimates, shown, strict=True))
    drawing = Drawing(name, 440, bottom + 40, title, f"{description}.")
    for x, label in across.ticks():
        drawing.line("grid", x, top, x, bottom)
        drawing.text("tick middle", x, bottom + 15, label)
    drawing.line("axis", left, bottom, right, bottom)
    drawing.text("label middle", (left + right) / 2, bottom + 32, "SRCC")
    for one in estimates:
        if one.leads:
            drawing.line("leader", across(one.value), top, across(one.value), bottom)
    for index, (one, words) in enumerate(zip(estimates, shown, strict=True)):
        y = top + row * index + 14
        drawing.text("name haloed strong" if one.leads else "name haloed", left, y, _short(one.name))
        drawing.text("value", right + 12, y + 18, words)
        _draw_estimate(drawing, one, across, y + 14)
    return drawing.markup()


def heat_map(name: str, names: Sequence[str], values: Array) -> Markup:
    """The correlation of every pair as a number in a cell, darker the farther from 0.

    Args:
        name: Id of the element, unique on the page.
        names: M labels.
        values: (M, M), -1..1; nan where undefined.
    """
    labels = [_short(label) for label in names]
    longest = _CHARACTER * max(map(len, labels))
    side, left, top = 42.0, 16 + longest, 16 + 0.72 * longest
    end = side * len(names)
    title = "Rank agreement of the metrics"
    description = "SRCC of every pair of metrics, as a number in each cell."
    # The slanted label of the last column extends to the right.
    drawing = Drawing(name, left + end + 0.72 * longest + 4, top + end + 4, title, description)
    for row, label in enumerate(labels):
        drawing.text("name end", left - 8, top + side * (row + 0.5) + 4, label)
        drawing.text("name", left + side * (row + 0.5) + 3, top - 8, label, turn=-45)
        for column in range(len(names)):
            value = float(values[row, column])
            kind = "heat undefined" if math.isnan(value) else "heat negative" if value < 0 else "heat"
            # Not opaque even at 1, so that the number stands out in light and in dark mode.
            strength = 0.0 if math.isnan(value) else 0.06 + 0.54 * abs(value)
            x, y = left + side * column, top + side * row
            hint = f"{names[row]} and {names[column]}: {number(value, 3)}"
            drawing.rectangle(kind, x + 1, y + 1, side - 2, side - 2, strength, hint)
            drawing.text("field middle", x + side / 2, y + side / 2 + 4, number(value, 2))
    return drawing.markup()


def histogram(name: str, title: str, values: Array, label: str) -> Markup:
    """Counts of at least one finite value (N,) in about 20 bins with round edges."""
    low, high = float(values.min()), float(values.max())
    step = round_step(max(high - low, abs(high) * 1e-6, 1e-9) / _BARS)
    first = math.floor(low / step)
    bins = math.floor(high / step) - first + 1
    edges = step * np.arange(first, first + bins + 1)
    counts = np.histogram(values, edges)[0]
    across = Scale.around(edges, 52, 408, margin=0)
    up = Scale.around([0, *counts], 216, 10, ticks=min(5, int(counts.max())), margin=0)
    fullest = int(np.argmax(counts))
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    ranges = [f"{number(edges[at], places)} to {number(edges[at + 1], places)}" for at in range(bins)]
    described = f"{counted(len(values), 'image')}; most, {counts[fullest]}, from {ranges[fullest]}."
    drawing = Drawing(name, 420, 256, title, described)
    axes(drawing, across, up, (label, "images"))
    for at, count in enumerate(counts):
        x, width = across(edges[at]), across(edges[at + 1]) - across(edges[at])
        hint = f"{ranges[at]}: {counted(int(count), 'image')}"
        drawing.rectangle("bar", x + 0.75, up(count), max(1.0, width - 1.5), up.start - up(count), hint=hint)
    return drawing.markup()


def _short(name: str) -> str:
    return shortened(name, _NAME_LENGTH)


def _draw_estimate(drawing: Drawing, one: Estimate, across: Scale, y: float) -> None:
    if not math.isnan(one.bounds.low + one.bounds.high):
        low, high = across(one.bounds.low), across(one.bounds.high)
        drawing.line("whisker", low, y, high, y)
        for x in (low, high):
            drawing.line("whisker", x, y - 4, x, y + 4)
    if math.isnan(one.value):
        return
    x = across(one.value)
    if one.leads:
        drawing.path("mark", [(x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)], closed=True)
    else:
        drawing.circle("mark" if one.tied else "mark hollow", x, y, 5)
