"""Parts of pages, as the templates expect them: tables, galleries and lists."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from grmp_plugin.report.pictures import Picture
from grmp_plugin.report.text import number

GALLERY = 12
"""Most images in a gallery."""

MOST_FAILURES = 200
"""Most rows in a list of failures."""


@dataclass(frozen=True)
class Column:
    """Header of a column.

    Attributes:
        title: Title of the column.
        numeric: Whether it is sorted numerically and aligned to the right.
        first: Order after the first click, `ascending` or `descending`.
        sorted: Order in which the rows are initially sorted by this column; empty if they are not.
    """

    title: str
    numeric: bool = True
    first: str = "descending"
    sorted: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: Main text.
        note: Smaller text below.
        key: Sort key of a number; empty if there is none.
        tag: A short label beside the text.
    """

    text: str
    note: str = ""
    key: str = ""
    tag: str = ""


@dataclass(frozen=True)
class Table:
    """A sortable table.

    Attributes:
        label: Description for screen readers.
        columns: Headers.
        rows: Cells; the first cell of a row is its header.
        failed: Name and reason of items without numbers; always below the rows.
    """

    label: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Score:
    """A metric's score of an image, with its percentile rank (0..100); empty if there is none."""

    name: str
    text: str
    rank: str = ""


@dataclass(frozen=True)
class Card:
    """An image in a gallery.

    Attributes:
        path: Path or name of the image.
        caption: The path without the folder that all images share.
        picture: The image.
        overlay: Its quality map.
        facts: Names and values shown first, such as its MOS.
        scores: Scores of the metrics.
    """

    path: str
    caption: str
    picture: Picture
    overlay: Picture | None
    facts: tuple[tuple[str, str], ...]
    scores: tuple[Score, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """A section of images.

    Attributes:
        name: Id of the section, unique on the page.
        title: Heading.
        text: How the images were chosen.
        cards: The images.
    """

    name: str
    title: str
    text: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Figure:
    """A chart with a heading and a caption; either may be empty."""

    chart: Markup
    heading: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Failures:
    """Failures of one kind.

    Attributes:
        title: Heading.
        rows: Name and reason.
        total: Number of failures, including those left out of `rows`.
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    total: int

    @classmethod
    def first(cls, title: str, rows: list[tuple[str, str]]) -> "Failures":
        """Failures with the first `MOST_FAILURES` of these rows."""
        return cls(title, tuple(rows[:MOST_FAILURES]), len(rows))


@dataclass(frozen=True)
class Record:
    """What produced the numbers: a heading, and names with values."""

    title: str
    facts: tuple[tuple[str, str], ...]


def number_cell(value: float, decimals: int, note: str = "") -> Cell:
    """A cell that shows a rounded number and sorts by its full precision."""
    return Cell(number(value, decimals), note, "" if math.isnan(value) else repr(float(value)))
