"""Rows of a ratings file: each read and checked, repetitions merged."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grmp_plugin.data.ratings import BadRow
from grmp_plugin.data.ratings_columns import Columns
from grmp_plugin.data.ratings_numbers import read_number

_SPLIT_WORDS = {"training": "train", "validation": "val", "testing": "test"}

# Beginning and part of reasons, by which the reader chooses its advice.
NO_SUCH_FILE = "no such file"
ANOTHER_MOS = "another MOS"


class RowError(Exception):
    """Why a row cannot be used; the message becomes the reason of a `BadRow`."""


@dataclass(frozen=True)
class Row:
    """One rating of one image; nan where there is no deviation or number of raters."""

    line: int
    image: str
    path: str
    mos: float
    reference: str
    reference_name: str
    deviation: float
    raters: float
    splits: Mapping[str, str]


def read_row(
    line: int, cells: Sequence[str], columns: Columns, folder: str, mos_range: tuple[float, float] | None
) -> Row:
    """Read one line's cells; raises RowError with the reason when they cannot be used."""
    if len(cells) < columns.count:
        raise RowError(f"too few columns: {len(cells)}, the header has {columns.count}")
    # Most often 3,5 for 3.5, whose 3 would be taken for the MOS.
    if any(cell.strip() for cell in cells[columns.count :]):
        raise RowError(
            f"too many columns: {len(cells)}, the header has {columns.count} (write numbers with a decimal "
            "point, and put names that contain the separator in quotes)"
        )
    given, cells = cells, [cell.strip() for cell in cells]
    image = cells[columns.image]
    if not image:
        raise RowError("no image name")
    name = reference = ""
    if columns.reference is not None:
        name = cells[columns.reference]
        # Names that differ only in capitals or slashes are one group, so that no reference is on both sides.
        reference = name.replace("\\", "/").casefold()
        if not reference:
            raise RowError(f"no reference in the column '{columns.reference_name}'")
    splits = {name: cells[index].lower() for name, index in columns.splits.items()}
    return Row(
        line=line,
        image=image,
        path=_find_image(given[columns.image], folder),
        mos=_read_mos(cells[columns.mos], mos_range),
        reference=reference,
        reference_name=name,
        deviation=_read_amount(cells, columns.deviation, "deviation", columns.strict),
        raters=_read_amount(cells, columns.raters, "number of raters", columns.strict),
        splits={name: _SPLIT_WORDS.get(value, value) for name, value in splits.items()},
    )


def _find_image(name: str, folder: str) -> str:
    """Join folder and name; backslashes separate folders on Windows, and may be part of a name elsewhere.

    Spaces around a name, no-break ones too, are part of it if there is such a file.
    """
    plain = name.strip()
    for spelling in dict.fromkeys((name, name.strip(" \t"), plain, plain.replace("\\", "/"))):
        path = os.path.join(folder, spelling)
        if os.path.isfile(path):
            return path
    if os.path.isdir(path):
        raise RowError("a folder, not an image file")
    raise RowError(f"{NO_SUCH_FILE}: {path}")


def _read_mos(text: str, mos_range: tuple[float, float] | None) -> float:
    if not text:
        raise RowError("no MOS")
    try:
        mos = read_number(text, "MOS")
    except ValueError as error:
        raise RowError(str(error)) from None
    if mos_range is not None and not mos_range[0] <= mos <= mos_range[1]:
        raise RowError(f"MOS {text} is outside the range {mos_range[0]:g} to {mos_range[1]:g}")
    return mos


def _read_amount(cells: Sequence[str], column: int | None, what: str, strict: bool) -> float:
    """A number from 0 up; nan without such a column, or for another value unless `strict`."""
    if column is None:
        return math.nan
    try:
        amount = read_number(cells[column])
    except ValueError:
        amount = math.nan
    if amount >= 0:
        return amount
    if strict:
        raise RowError(f"the {what} is '{cells[column]}', not a number from 0 up")
    return math.nan


def merge_repetitions(rows: Sequence[Row], raw: bool) -> tuple[list[Row], list[BadRow], list[BadRow]]:
    """Merge rows of the same image: rows that agree count once, rows that contradict are all dropped.

    Args:
        rows: Rows of all images.
        raw: Whether each row is one person's rating; ratings of an image are then averaged.

    Returns:
        Rows kept, rows that repeat one of these, rows that contradict each other.
    """
    by_file: dict[str, list[Row]] = {}
    for row in rows:
        by_file.setdefault(os.path.normcase(os.path.realpath(row.path)), []).append(row)
    kept: list[Row] = []
    repeated: list[BadRow] = []
    conflicting: list[BadRow] = []
    for same in by_file.values():
        first = _mean_of(same) if raw else same[0]
        what = _difference(same, raw)
        if what is None and raw:
            kept.append(first)
            continue
        if what is None:
            kept.append(first)
            reason = f"repeats line {first.line}, with the same rating; used once"
            repeated += [BadRow(row.line, row.image, reason, repeated=True) for row in same[1:]]
            continue
        for row in same:
            others = ", ".join(str(other.line) for other in same if other is not row)
            conflicting.append(
                BadRow(row.line, row.image, f"the same image as in line {others} with another {what}")
            )
    return kept, repeated, conflicting


def _mean_of(same: Sequence[Row]) -> Row:
    """One row with the mean of the ratings, their unbiased standard deviation and their number."""
    values = np.array([row.mos for row in same])
    deviation = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return dataclasses.replace(
        same[0], mos=float(values.mean()), deviation=deviation, raters=float(len(values))
    )


def _difference(same: Sequence[Row], raw: bool) -> str | None:
    """What the rows of one image disagree about; None if they agree."""
    first = same[0]
    if not raw and any(row.mos != first.mos for row in same):
        return "MOS (" + ", ".join(str(row.mos) for row in same) + ")"
    if any(row.reference != first.reference for row in same):
        return "reference"
    if any(row.splits != first.splits for row in same):
        return "split"
    return None
