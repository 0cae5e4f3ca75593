"""Read rated images from a CSV file, a workbook, a Parquet file or a data frame, checked row by row."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from grmp_plugin.data.ratings import BadRow, Ratings, range_ends
from grmp_plugin.data.ratings_columns import RATER_NAMES, Columns, NamedColumns, candidates, find_columns
from grmp_plugin.data.ratings_numbers import with_decimal_points
from grmp_plugin.data.ratings_rows import (
    ANOTHER_MOS,
    NO_SUCH_FILE,
    Row,
    RowError,
    merge_repetitions,
    read_row,
)
from grmp_plugin.data.ratings_sheets import Line
from grmp_plugin.data.ratings_table import read_frame, read_lines
from grmp_plugin.data.reference_names import references_of
from grmp_plugin.errors import InputError

if TYPE_CHECKING:
    import pandas

_ROWS_LISTED = 5


class RatingsOptions(TypedDict, total=False):
    """How to read ratings: the keyword arguments of `read_ratings`.

    Attributes:
        images_folder: Folder that image names are relative to; by default that of the ratings file.
        image_column: Name of the column of image names; case does not matter, here and below.
        mos_column: Name of the column of ratings.
        reference_column: Name of the column that says which pristine image each image was made from.
        deviation_column: Name of the column of standard deviations of the ratings behind each MOS.
        raters_column: Name of the column that says how many ratings are behind each MOS.
        lower_better: Whether a low rating means good quality; by default a high one does, but for a column
            called DMOS it must be given.
        mos_range: Ends of the rating scale; ratings outside are errors.
        raw: Whether each row is one person's rating; the mean of an image's ratings is its MOS. Files with a
            column of raters, as `label` writes them, are read so in any case.
        skip_bad: Leave bad rows out (`Ratings.skipped` lists them) instead of refusing the file.
    """

    images_folder: str | os.PathLike[str] | None
    image_column: str | None
    mos_column: str | None
    reference_column: str | None
    deviation_column: str | None
    raters_column: str | None
    lower_better: bool | None
    mos_range: tuple[float, float] | None
    raw: bool
    skip_bad: bool


def read_ratings(
    ratings: "str | os.PathLike[str] | pandas.DataFrame",
    *,
    images_folder: str | os.PathLike[str] | None = None,
    image_column: str | None = None,
    mos_column: str | None = None,
    reference_column: str | None = None,
    deviation_column: str | None = None,
    raters_column: str | None = None,
    lower_better: bool | None = None,
    mos_range: tuple[float, float] | None = None,
    raw: bool = False,
    skip_bad: bool = False,
) -> Ratings:
    """Read rated images from a CSV file with a header, or from a data frame.

    pyiqa's meta_info files work as they are. A file is UTF-8, separated by comma, semicolon or tab; decimal
    commas are understood where commas do not separate. Parquet files, and the first sheet of a workbook, are
    read where pandas has an engine for them. Columns that are not named are found by their usual names;
    without a reference column, references are read from the file names if all images follow the pattern of
    one standard data set. An image whose rows agree counts once.

    Args:
        ratings: The file, or a data frame with the same columns.
        images_folder: This and the other arguments: see `RatingsOptions`.
        image_column: See there.
        mos_column: See there.
        reference_column: See there.
        deviation_column: See there.
        raters_column: See there.
        lower_better: See there.
        mos_range: See there.
        raw: See there.
        skip_bad: See there.

    Raises:
        InputError: When the file, a column, an argument or a row is wrong, or when nothing can be learned
            from what is left: no rows, or one MOS for all.
    """
    if mos_range is not None:
        mos_range = range_ends(mos_range)
    if images_folder is not None and not os.path.isdir(images_folder):
        raise InputError(f"{os.fspath(images_folder)} is not a folder", argument="images_folder")
    named = NamedColumns(image_column, mos_column, reference_column, deviation_column, raters_column)
    if isinstance(ratings, str | os.PathLike):
        source, folder = os.fspath(ratings), os.path.dirname(ratings)
        table = read_lines(source, named)
    else:
        source, folder = "data frame", ""
        table = read_frame(ratings)
    folder = folder if images_folder is None else os.fspath(images_folder)
    columns = find_columns(table.lines[0][1], named, source)
    raw = raw or bool(candidates(table.lines[0][1], None, RATER_NAMES))
    numbers = [i for i in (columns.mos, columns.deviation, columns.raters) if i is not None]
    lines = with_decimal_points(table.lines, numbers, table.delimiter)
    if lower_better is None and "dmos" in columns.mos_name.lower():
        raise InputError(
            f"{source}: does a high or a low value in the column '{columns.mos_name}' mean good quality? In "
            "KADID-10k a high DMOS does, in LIVE and CSIQ a low one",
            see=("lower_better",),
        )

    rows: list[Row] = []
    bad: list[BadRow] = []
    for line, cells in lines[1:]:
        try:
            rows.append(read_row(line, cells, columns, folder, mos_range))
        except RowError as error:
            image = cells[columns.image].strip() if columns.image < len(cells) else ""
            bad.append(BadRow(line, image, str(error)))
    rows, repeated, conflicting = merge_repetitions(rows, raw)
    bad = sorted(bad + conflicting, key=_line_of)
    if not rows or (bad and not skip_bad):
        raise _bad_rows(source, lines, bad, folder, all_bad=not rows)

    mos = np.array([row.mos for row in rows], np.float64)
    if mos.min() == mos.max():
        raise InputError(
            f"{source}: the usable rows ({len(rows)}) all have the same value, {mos[0]}, in the column "
            f"'{columns.mos_name}', so nothing can be learned from them",
            see=("mos_column",),
        )
    references, references_source = _references(rows, columns)
    return Ratings(
        source=source,
        images=tuple(row.path for row in rows),
        mos=mos,
        references=references,
        lower_better=bool(lower_better),
        mos_range=None if mos_range is None else (float(mos_range[0]), float(mos_range[1])),
        references_source=references_source,
        reference_names=None if columns.reference is None else tuple(row.reference_name for row in rows),
        deviations=None if columns.deviation is None and not raw else np.array([r.deviation for r in rows]),
        raters=None if columns.raters is None and not raw else np.array([r.raters for r in rows]),
        splits={name: tuple(row.splits[name] for row in rows) for name in columns.splits},
        skipped=tuple(sorted(bad + repeated, key=_line_of)),
        adjustable=frozenset(RatingsOptions.__annotations__),
    )


def _references(rows: Sequence[Row], columns: Columns) -> tuple[tuple[str, ...] | None, str]:
    if columns.reference is not None:
        return tuple(row.reference for row in rows), f"column '{columns.reference_name}'"
    references = references_of(row.path for row in rows)
    return references, "" if references is None else "file names"


def _line_of(bad: BadRow) -> int:
    return bad.row or 0


def _bad_rows(
    source: str, lines: Sequence[Line], bad: Sequence[BadRow], folder: str, *, all_bad: bool
) -> InputError:
    """An error that lists which rows are bad, and why."""
    count = len(lines) - 1
    text = [f"{source}: {len(bad)} of {count} rows cannot be used:"]
    if all_bad:
        text = [f"{source}: no usable rows left, {len(bad)} of {count} are bad:"]
    text += [f"  line {row.row}: '{row.image}': {row.reason}" for row in bad[:_ROWS_LISTED]]
    if len(bad) > _ROWS_LISTED:
        text.append(f"  and {len(bad) - _ROWS_LISTED} more")
    see = [] if all_bad else ["skip_bad"]
    first = bad[0]
    if first.row == lines[1][0] and first.reason.startswith(NO_SUCH_FILE):
        text.append(f"Images were looked for in '{folder or os.curdir}'")
        see.append("images_folder")
    if any(ANOTHER_MOS in row.reason for row in bad):
        see.append("raw")
    return InputError("\n".join(text), see=see)
