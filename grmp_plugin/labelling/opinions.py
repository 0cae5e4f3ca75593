"""Single ratings as tables: of a file that `grmp label` wrote, or any file in the same form."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grmp_plugin.data.ratings_columns import IMAGE_NAMES, MOS_NAMES, RATER_NAMES, NamedColumns, candidates
from grmp_plugin.data.ratings_numbers import read_number
from grmp_plugin.data.ratings_sheets import Line
from grmp_plugin.data.ratings_table import read_frame, read_lines
from grmp_plugin.errors import InputError

if TYPE_CHECKING:
    import pandas

_NO_NAMES = NamedColumns(None, None, None, None, None)
_TRUE = frozenset({"1", "true", "yes"})
_BETTER = {"left": 1.0, "same": 0.5, "right": 0.0}


@dataclass(frozen=True, eq=False)
class Opinions:
    """Ratings of J images by I raters.

    Attributes:
        images: J names as in the file.
        raters: I names.
        first: (J, I) float64: the first rating of each rater; nan where there is none.
        again: (J, I) float64: the mean of their later ratings of the same image; nan where there is none.
        seconds: (I,) float64: median time of a rating; nan where unknown.
    """

    images: tuple[str, ...]
    raters: tuple[str, ...]
    first: np.ndarray
    again: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons in pairs of J images by I raters.

    Attributes:
        images: J names as in the file.
        raters: I names.
        left: (N,) int64: index of the left image.
        right: (N,) int64: index of the right image.
        won: (N,) float64: 1 where the left one is better, 0 where the right one is, 0.5 for "same".
        by: (N,) int64: index of the rater.
        repeat: (N,) bool: whether the rater had judged this pair before.
        seconds: (I,) float64: median time of a comparison; nan where unknown.
    """

    images: tuple[str, ...]
    raters: tuple[str, ...]
    left: np.ndarray
    right: np.ndarray
    won: np.ndarray
    by: np.ndarray
    repeat: np.ndarray
    seconds: np.ndarray


def read_opinions(ratings: "str | os.PathLike[str] | pandas.DataFrame") -> Opinions | Comparisons:
    """Read single ratings, or comparisons in pairs.

    Args:
        ratings: A file or data frame with the columns image, rater, rating and perhaps seconds and repeat; or
            left, right, rater and better (left, same or right).

    Raises:
        InputError: When the file cannot be read, or a column or a value is wrong.
    """
    if isinstance(ratings, str | os.PathLike):
        source = os.fspath(ratings)
        lines = read_lines(source, _NO_NAMES).lines
    else:
        source, lines = "data frame", read_frame(ratings).lines
    header = [name.strip().lower() for name in lines[0][1]]
    table = _Table(source, header, lines[1:])
    return _comparisons(table) if "better" in header else _opinions(table)


def _opinions(table: "_Table") -> Opinions:
    names = table.texts(table.column(IMAGE_NAMES, "image"))
    people = table.texts(table.column(RATER_NAMES, "rater"))
    values = table.numbers(table.column(MOS_NAMES, "rating"))
    images, raters = tuple(dict.fromkeys(names)), tuple(dict.fromkeys(people))
    row, column = ({name: at for at, name in enumerate(each)} for each in (images, raters))
    cells: dict[tuple[int, int], list[float]] = {}
    for name, person, value in zip(names, people, values, strict=True):
        cells.setdefault((row[name], column[person]), []).append(value)
    first, again = (np.full((len(images), len(raters)), math.nan) for _ in range(2))
    for place, given in cells.items():
        first[place] = given[0]
        if len(given) > 1:
            again[place] = float(np.mean(given[1:]))
    return Opinions(images, raters, first, again, _medians(table, people, raters))


def _comparisons(table: "_Table") -> Comparisons:
    left, right = (table.texts(table.column(frozenset({name}), name)) for name in ("left", "right"))
    people = table.texts(table.column(RATER_NAMES, "rater"))
    better = table.texts(table.column(frozenset({"better"}), "better"))
    for (line, _), word in zip(table.lines, better, strict=True):
        if word.lower() not in _BETTER:
            raise InputError(f"{table.source}: line {line}: '{word}' is none of left, same, right")
    images, raters = tuple(dict.fromkeys([*left, *right])), tuple(dict.fromkeys(people))
    index, rater = ({name: at for at, name in enumerate(each)} for each in (images, raters))
    repeat = table.texts(table.header.index("repeat")) if "repeat" in table.header else ["0"] * len(left)
    return Comparisons(
        images,
        raters,
        np.array([index[name] for name in left], np.int64),
        np.array([index[name] for name in right], np.int64),
        np.array([_BETTER[word.lower()] for word in better], np.float64),
        np.array([rater[name] for name in people], np.int64),
        np.array([word.lower() in _TRUE for word in repeat], bool),
        _medians(table, people, raters),
    )


@dataclass(frozen=True)
class _Table:
    """Lines of a file below its header."""

    source: str
    header: list[str]
    lines: Sequence[Line]

    def column(self, usual: frozenset[str], what: str) -> int:
        found = candidates(self.header, None, usual)
        if len(found) != 1:
            raise InputError(
                f"{self.source}: single ratings need one column of the {what}. Columns present: "
                f"{', '.join(self.header)}"
            )
        return found[0]

    def texts(self, column: int) -> list[str]:
        values = []
        for line, cells in self.lines:
            value = cells[column].strip() if column < len(cells) else ""
            if not value:
                raise InputError(f"{self.source}: line {line}: nothing in the column '{self.header[column]}'")
            values.append(value)
        return values

    def numbers(self, column: int) -> list[float]:
        values = []
        for (line, _), text in zip(self.lines, self.texts(column), strict=True):
            try:
                values.append(read_number(text))
            except ValueError as error:
                raise InputError(f"{self.source}: line {line}: {error}") from error
        return values


def _medians(table: _Table, people: Sequence[str], raters: Sequence[str]) -> np.ndarray:
    if "seconds" not in table.header:
        return np.full(len(raters), math.nan)
    seconds = np.array(table.numbers(table.header.index("seconds")))
    whose = np.array(people)
    return np.array([float(np.median(seconds[whose == rater])) for rater in raters])
