"""Charts as SVG: scales with round ticks, and a drawing that escapes all text.

Elements have classes instead of colours; the page's stylesheet sets colours for light mode, dark mode and
print.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from grmp_plugin.printable import printable
from grmp_plugin.report.text import number


@dataclass(frozen=True)
class Scale:
    """A linear scale from values to pixels, with ticks at round values.

    Attributes:
        low: Value at `start`.
        high: Value at `end`.
        step: Distance between ticks.
        start: Pixels.
        end: Pixels; less than `start` for values that rise towards the top.
    """

    low: float
    high: float
    step: float
    start: float
    end: float

    @classmethod
    def around(
        cls, values: Iterable[float], start: float, end: float, *, ticks: int = 5, margin: float = 0.04
    ) -> "Scale":
        """The scale that covers all finite values; 0..1 if there are none.

        Args:
            values: Values to cover.
            start: Pixels.
            end: Pixels.
            ticks: Approximate number of ticks.
            margin: Margin beyond the lowest and the highest value, as a fraction of their distance.
        """
        known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        if low == high:
            around = abs(low) / 10 or 0.5
            low, high = low - around, high + around
        step, beyond = round_step((high - low) / ticks), margin * (high - low)
        return cls(low - beyond, high + beyond, step, start, end)

    def __call__(self, value: float) -> float:
        """Position of a value, pixels."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Position and label of every tick."""
        places = max(0, -math.floor(math.log10(self.step) + 1e-9))
        first, last = math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)
        values = [self.step * index for index in range(first, last + 1)]
        if max(map(abs, values), default=0) >= 1e5:
            return [(self(value), f"{value:.3g}") for value in values]
        return [(self(value), number(value, places)) for value in values]


def round_step(size: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `size`, which is positive."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * (1 - 1e-9))


class Drawing:
    """An SVG picture with a title and a description for screen readers.

    Args:
        name: Id of the element, unique on the page.
        width: Pixels as drawn; the page may scale it down.
        height: Pixels.
        title: Title.
        description: What the picture shows.
    """

    def __init__(self, name: str, width: float, height: float, title: str, description: str) -> None:
        self._parts = [
            Markup(
                '<svg id="{n}" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}" '
                'aria-labelledby="{n}-title {n}-desc"><title id="{n}-title">{t}</title>'
                '<desc id="{n}-desc">{d}</desc>'
            ).format(w=_px(width), h=_px(height), n=name, t=printable(title), d=printable(description))
        ]

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """A straight line; `kind` is a class of the stylesheet, as in all methods."""
        self._add('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>', kind, *map(_px, (x1, y1, x2, y2)))

    def circle(self, kind: str, x: float, y: float, radius: float) -> None:
        """A circle around (x, y)."""
        self._add('<circle class="{}" cx="{}" cy="{}" r="{}"/>', kind, *map(_px, (x, y, radius)))

    def rectangle(
        self, kind: str, x: float, y: float, width: float, height: float, opacity: float = 1, hint: str = ""
    ) -> None:
        """A filled rectangle; the hint is shown when the pointer rests on it."""
        inside = Markup("<title>{}</title>").format(printable(hint)) if hint else ""
        self._add(
            '<rect class="{}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{:.2f}">{}</rect>',
            *(kind, *map(_px, (x, y, width, height)), opacity, inside),
        )

    def path(self, kind: str, points: Iterable[tuple[float, float]], closed: bool = False) -> None:
        """Straight lines through the points."""
        way = "L".join(f"{_px(x)} {_px(y)}" for x, y in points)
        self._add('<path class="{}" d="M{}{}"/>', kind, way, "Z" if closed else "")

    def text(self, kind: str, x: float, y: float, content: str, turn: float = 0) -> None:
        """Text at (x, y), aligned by its class and turned by `turn` degrees."""
        turned = Markup(' transform="rotate({:g} {} {})"').format(turn, _px(x), _px(y)) if turn else ""
        self._add(
            '<text class="{}" x="{}" y="{}"{}>{}</text>', kind, _px(x), _px(y), turned, printable(content)
        )

    def markup(self) -> Markup:
        """The picture as safe markup."""
        return Markup("").join([*self._parts, Markup("</svg>")])

    def _add(self, template: str, *values: object) -> None:
        self._parts.append(Markup(template).format(*values))


def axes(drawing: Drawing, across: Scale, up: Scale, names: tuple[str, str]) -> None:
    """Draw grid lines, tick labels and the names of both axes; `up` starts at the bottom."""
    for x, label in across.ticks():
        drawing.line("grid", x, up.start, x, up.end)
        drawing.text("tick middle", x, up.start + 15, label)
    for y, label in up.ticks():
        drawing.line("grid", across.start, y, across.end, y)
        drawing.text("tick end", across.start - 6, y + 4, label)
    drawing.line("axis", across.start, up.start, across.end, up.start)
    drawing.line("axis", across.start, up.start, across.start, up.end)
    drawing.text("label middle", (across.start + across.end) / 2, up.start + 32, names[0])
    drawing.text("label middle", 12, (up.start + up.end) / 2, names[1], turn=-90)


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
