"""What pages are made of: tables, galleries and lists, as the templates take them."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from grmp_plugin.report.pictures import Picture
from grmp_plugin.report.text import number

GALLERY = 12
"""The most images that a gallery shows."""

MOST_FAILURES = 200
"""The most rows of a list of failures."""


@dataclass(frozen=True)
class Column:
    """Head of a column.

    Attributes:
        title: what is in it.
        numeric: whether it is sorted by number, and aligned to the right.
        first: which order a first click gives, `ascending` or `descending`.
        sorted: the order in which the rows stand by this column; empty where they do not.
    """

    title: str
    numeric: bool = True
    first: str = "descending"
    sorted: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it shows.
        note: what stands smaller below.
        key: what numbers are sorted by; empty where there is none.
        tag: a word that marks it.
    """

    text: str
    note: str = ""
    key: str = ""
    tag: str = ""


@dataclass(frozen=True)
class Table:
    """A table that can be sorted.

    Attributes:
        label: says what it is to those who cannot see it.
        columns: their heads.
        rows: cells, the first of a row being its head.
        failed: name and reason of what has no numbers; stays below the rows.
    """

    label: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Score:
    """A metric's score of an image, with its percentile rank (0..100), empty where there is none."""

    name: str
    text: str
    rank: str = ""


@dataclass(frozen=True)
class Card:
    """An image of a gallery.

    Attributes:
        path: of the image.
        caption: shorter, below its folder's name that all share.
        picture: of the image.
        overlay: its quality map.
        facts: what is said of it first, such as its MOS: name and value.
        scores: of the metrics.
    """

    path: str
    caption: str
    picture: Picture
    overlay: Picture | None
    facts: tuple[tuple[str, str], ...]
    scores: tuple[Score, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Images with what there is to say of them.

    Attributes:
        name: of the section, once on a page.
        title: its heading.
        text: how they were chosen.
        cards: the images.
    """

    name: str
    title: str
    text: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Figure:
    """A chart with its heading and what is said below; either may be empty."""

    chart: Markup
    heading: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Failures:
    """What went wrong in one respect.

    Attributes:
        title: heading.
        rows: name and reason.
        total: how many there are; more than rows where some are left out.
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    total: int

    @classmethod
    def first(cls, title: str, rows: list[tuple[str, str]]) -> "Failures":
        """The first `MOST_FAILURES` of these."""
        return cls(title, tuple(rows[:MOST_FAILURES]), len(rows))


@dataclass(frozen=True)
class Record:
    """What made numbers: a heading, and names with their values."""

    title: str
    facts: tuple[tuple[str, str], ...]


def number_cell(value: float, decimals: int, note: str = "") -> Cell:
    """A cell that shows a number rounded and is sorted by all of its digits."""
    return Cell(number(value, decimals), note, "" if math.isnan(value) else repr(float(value)))
