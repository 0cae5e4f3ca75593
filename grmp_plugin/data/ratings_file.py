"""Read rated images from a CSV file, checked row by row."""

import math
import os
from collections.abc import Sequence

import numpy as np

from grmp_plugin.data.ratings import BadRow, Ratings
from grmp_plugin.data.ratings_columns import Columns, NamedColumns, find_columns
from grmp_plugin.data.ratings_rows import NO_SUCH_FILE, Row, RowError, merge_repetitions, read_row
from grmp_plugin.data.ratings_table import Line, read_table, read_text
from grmp_plugin.data.reference_names import references_of
from grmp_plugin.errors import InputError

_ROWS_LISTED = 5


def read_ratings(
    path: str | os.PathLike[str],
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
    """Read rated images from a CSV file with a header; pyiqa's meta_info files work as they are.

    UTF-8, separated by comma, semicolon or tab. Columns that are not named are found by their usual
    names; references that have no column are read from the file names, if all images follow the pattern
    of one standard data set. An image whose rows agree counts once.

    Args:
        path: the file.
        images_folder: what image names are relative to; the file's own folder by default.
        image_column: header of the images' names; also the next ones ignore capitals.
        mos_column: header of the ratings.
        reference_column: header of the references.
        deviation_column: header of the standard deviations of the ratings behind each MOS.
        raters_column: header of the numbers of these ratings.
        lower_better: whether a low rating is a good one; by default a high one is, but for a column
            called DMOS it must be said.
        mos_range: the ends of the scale; ratings outside are errors.
        raw: each row is one person's rating, and an image has several; their mean is its MOS.
        skip_bad: leave bad rows out (they are listed in `skipped`) rather than refuse the file.

    Raises:
        InputError: the file, a column, an option or a row is wrong, or nothing can be learned from what
            is left: no rows, or one MOS for all.
    """
    source = os.fspath(path)
    if mos_range is not None and not (
        all(math.isfinite(end) for end in mos_range) and mos_range[0] < mos_range[1]
    ):
        raise InputError(f"--mos-range goes from a low to a high number, not {mos_range[0]} {mos_range[1]}.")
    folder = os.path.dirname(source) if images_folder is None else os.fspath(images_folder)
    if images_folder is not None and not os.path.isdir(folder):
        raise InputError(f"--images {folder}: no such folder. Name the folder that holds the images.")

    named = NamedColumns(image_column, mos_column, reference_column, deviation_column, raters_column)
    lines = read_table(read_text(source), named, source)
    columns = find_columns(lines[0][1], named, source)
    if lower_better is None and "dmos" in columns.mos_name.lower():
        raise InputError(
            f"{source}: which way does the column '{columns.mos_name}' run? In KADID-10k a high DMOS is "
            "good, in LIVE and CSIQ a low one. Say --higher-better or --lower-better."
        )

    rows: list[Row] = []
    bad: list[BadRow] = []
    for line, cells in lines[1:]:
        try:
            rows.append(read_row(line, cells, columns, folder, mos_range))
        except RowError as error:
            image = cells[columns.image] if columns.image < len(cells) else ""
            bad.append(BadRow(line, image, str(error)))
    rows, repeated, conflicting = merge_repetitions(rows, raw)
    bad = sorted(bad + conflicting, key=_line_of)
    if not rows or (bad and not skip_bad):
        raise InputError(_complaint(source, lines, bad, folder, all_bad=not rows))

    mos = np.array([row.mos for row in rows], np.float64)
    if mos.min() == mos.max():
        raise InputError(
            f"{source}: one value for all: the {len(rows)} usable rows have MOS {mos[0]} in the column "
            f"'{columns.mos_name}'. Ratings that differ are needed; --mos-column names another column."
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
    )


def _references(rows: Sequence[Row], columns: Columns) -> tuple[tuple[str, ...] | None, str]:
    if columns.reference is not None:
        return tuple(row.reference for row in rows), f"column '{columns.reference_name}'"
    references = references_of(row.path for row in rows)
    return references, "" if references is None else "file names"


def _line_of(bad: BadRow) -> int:
    return bad.row or 0


def _complaint(
    source: str, lines: Sequence[Line], bad: Sequence[BadRow], folder: str, *, all_bad: bool
) -> str:
    """Say which rows are bad, why, and what to type next."""
    count = len(lines) - 1
    text = [f"{source}: no usable rows left, {len(bad)} of {count} are bad:"]
    if not all_bad:
        text = [f"{source}: {len(bad)} of {count} rows cannot be used:"]
    text += [f"  line {row.row}: '{row.image}': {row.reason}" for row in bad[:_ROWS_LISTED]]
    if len(bad) > _ROWS_LISTED:
        text.append(f"  and {len(bad) - _ROWS_LISTED} more")
    first = bad[0]
    if first.row == lines[1][0] and first.reason.startswith(NO_SUCH_FILE):
        text.append(
            f"Images were looked for in '{folder or os.curdir}'; --images FOLDER names another folder."
        )
    text.append("Correct the rows." if all_bad else "Correct the rows, or go on without them: --skip-bad.")
    return "\n".join(text)
