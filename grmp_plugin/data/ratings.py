"""Rated images: read from a CSV file and checked row by row, with the scale that their ratings are on."""

import codecs
import csv
import dataclasses
import hashlib
import io
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from grmp_plugin.data.references import references_of
from grmp_plugin.errors import ConfigError, InputError

DECLARED = "declared"
KNOWN_RANGE = "known range of the data set"
SHOTS_RANGE = "the shots' min and max"

# Usual names of columns, as `_plain` spells them; the last ones are those of pyiqa's PIPAL file.
# fmt: off
_IMAGE_NAMES = frozenset({
    "image", "img", "name", "filename", "file", "path", "image_name", "img_name",
    "dist_name", "dist_img", "dist_img_name",
})
_MOS_NAMES = frozenset({"mos", "score", "rating", "dmos", "mean", "elo_score"})
_REFERENCE_NAMES = frozenset({"ref", "reference", "ref_img", "ref_name", "ref_img_name", "hq_name"})
_DEVIATION_NAMES = frozenset({"std", "mos_std", "std_mos", "sd", "mos_sd", "stddev", "score_std", "dmos_std"})
_RATERS_NAMES = frozenset({"raters", "n_raters", "observers", "n_ratings", "num_ratings", "n", "count"})
# fmt: on

_DELIMITERS = (",", ";", "\t")
_SPLIT_WORDS = {"training": "train", "validation": "val", "testing": "test"}
_ROWS_LISTED = 5
_RAW_HINT = "; if each row is one person's rating, say --raw"
_NO_SUCH_FILE = "no such file"


@dataclass(frozen=True)
class MosScale:
    """The scale of the ratings, and which end of it is good.

    Raises:
        ConfigError: unless low < high, both finite.
    """

    low: float
    high: float
    lower_better: bool = False  # as DMOS is in LIVE and CSIQ
    source: str = DECLARED  # how the ends are known: DECLARED, KNOWN_RANGE or SHOTS_RANGE

    def __post_init__(self) -> None:
        """Reject what is no range, quoting the values."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"a MOS scale goes from low to high, not from {self.low} to {self.high}")

    def to_quality(self, mos: np.ndarray) -> np.ndarray:
        """Map ratings linearly, the worst to 0 and the best to 1; ratings beyond the ends are not clipped.

        Args:
            mos: ratings of any shape.

        Returns:
            Qualities of that shape, float64, higher is better.
        """
        position = (np.asarray(mos, np.float64) - self.low) / (self.high - self.low)
        return 1 - position if self.lower_better else position

    def to_mos(self, quality: np.ndarray | float) -> np.ndarray:
        """Map qualities back to ratings: the inverse of `to_quality`.

        Args:
            quality: of any shape, 0 = worst, 1 = best.

        Returns:
            Ratings of that shape, float64.
        """
        quality = np.asarray(quality, np.float64)
        position = 1 - quality if self.lower_better else quality
        return self.low + position * (self.high - self.low)


@dataclass(frozen=True)
class BadRow:
    """A row that gives no rating of its own, and why."""

    row: int | None  # line in the file as an editor counts, the header is usually 1; None without a file
    image: str  # as the file has it
    reason: str
    repeated: bool = False  # nothing is wrong with it: it says again what another row says


@dataclass(frozen=True, eq=False)
class Ratings:
    """N rated images.

    Attributes:
        source: file or data set, for messages.
        images: N paths.
        mos: (N,) float64, as in the file.
        references: which pristine reference each image is a version of, equal for images that must not
            be parted between training and test; None where images are independent.
        lower_better: whether a low rating is a good one.
        mos_range: the ends of the scale, where they are declared or known.
        range_source: how `mos_range` is known: DECLARED or KNOWN_RANGE.
        references_source: where `references` come from, for messages; empty where there are none.
        reference_names: N names of references as the file's column has them; None without a column.
        deviations: (N,) standard deviations of the single ratings behind each MOS; None if unknown.
        raters: (N,) how many ratings are behind each MOS; None if unknown.
        splits: columns whose name contains "split"; N values each, usually train, val or test.
        skipped: rows that are left out: bad ones, and repetitions of an image with the same rating.
    """

    source: str
    images: tuple[str, ...]
    mos: np.ndarray
    references: tuple[str, ...] | None = None
    lower_better: bool = False
    mos_range: tuple[float, float] | None = None
    range_source: str = DECLARED
    references_source: str = ""
    reference_names: tuple[str, ...] | None = None
    deviations: np.ndarray | None = None
    raters: np.ndarray | None = None
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[BadRow, ...] = ()

    def scale(self, shots: np.ndarray) -> MosScale:
        """Tell the scale of the ratings: declared, else known, else from the least to the largest shot.

        Args:
            shots: indices of the images whose ratings may be looked at.

        Raises:
            InputError: the shots would have to tell it and have one and the same MOS.
        """
        if self.mos_range is not None:
            return MosScale(*self.mos_range, self.lower_better, self.range_source)
        low, high = float(self.mos[shots].min()), float(self.mos[shots].max())
        if low == high:
            raise InputError(
                f"{self.source}: all shots have MOS {low}, which tells no scale. "
                "Declare it with --mos-range LOW HIGH, or draw other shots with another --seed."
            )
        return MosScale(low, high, self.lower_better, SHOTS_RANGE)

    def digest(self) -> str:
        """SHA-256 of names, ratings, references, range and direction: a run knows them again by it."""
        content = hashlib.sha256(f"{self.mos_range} {self.lower_better}\n".encode())
        references = self.references or ("",) * len(self.images)
        for row in zip(self.images, self.mos.tolist(), references, strict=True):
            content.update(f"{row!r}\n".encode(errors="surrogateescape"))
        return content.hexdigest()

    def subset(self, index: np.ndarray) -> "Ratings":
        """Keep some of the images, in the order of the index.

        Args:
            index: integer indices, or N booleans.
        """
        kept = np.arange(len(self.images))[index]

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in kept)

        return dataclasses.replace(
            self,
            images=pick(self.images),
            mos=self.mos[kept],
            references=None if self.references is None else pick(self.references),
            reference_names=None if self.reference_names is None else pick(self.reference_names),
            deviations=None if self.deviations is None else self.deviations[kept],
            raters=None if self.raters is None else self.raters[kept],
            splits={name: pick(values) for name, values in self.splits.items()},
        )


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

    named = _Named(image_column, mos_column, reference_column, deviation_column, raters_column)
    lines = _read_table(_read_text(source), named, source)
    columns = _find_columns(lines[0][1], named, source)
    if lower_better is None and "dmos" in columns.mos_name.lower():
        raise InputError(
            f"{source}: which way does the column '{columns.mos_name}' run? In KADID-10k a high DMOS is "
            "good, in LIVE and CSIQ a low one. Say --higher-better or --lower-better."
        )

    rows: list[_Row] = []
    bad: list[BadRow] = []
    for line, cells in lines[1:]:
        try:
            rows.append(_read_row(line, cells, columns, folder, mos_range))
        except _RowError as error:
            image = cells[columns.image] if columns.image < len(cells) else ""
            bad.append(BadRow(line, image, str(error)))
    rows, repeated, conflicting = _merge_repetitions(rows, raw)
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


# --- the file -------------------------------------------------------------------------------------

_Line = tuple[int, list[str]]  # number in the file, and cells


class _Named(NamedTuple):
    """Columns as the options name them; None for what is looked for by its usual names."""

    image: str | None
    mos: str | None
    reference: str | None
    deviation: str | None
    raters: str | None


def _read_text(source: str) -> str:
    if os.path.isdir(source):
        raise InputError(f"{source}: a folder, not a file. Name the CSV file that holds the ratings.")
    try:
        with open(source, "rb") as file:
            raw = file.read()
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such file. Name the CSV file that holds the ratings.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{source}: cannot be read: {reason}.") from error
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{source}: text in UTF-16. Save the ratings as CSV in UTF-8.")
    if b"\0" in raw:
        raise InputError(f"{source}: not a text file. Save the ratings as CSV in UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + len(re.findall(b"\r\n|\r|\n", error.object[: error.start]))
        raise InputError(
            f"{source}: line {line} is not UTF-8 text. Save the ratings as CSV in UTF-8."
        ) from error
    if not text.strip():
        raise InputError(f"{source}: the file is empty. Expected a header such as image,mos and rows below.")
    return text


def _read_table(text: str, named: _Named, source: str) -> list[_Line]:
    """Split the text into lines of cells, header first; lines without content are left out."""
    stream = io.StringIO(text, newline="")
    # Strict: a quote that is never closed would swallow all rows below it.
    reader = csv.reader(stream, delimiter=_delimiter(text, named), skipinitialspace=True, strict=True)
    lines: list[_Line] = []
    start = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                lines.append((start, stripped))
            start = reader.line_num + 1  # a quoted cell may span lines: a row is where it begins
    except csv.Error as error:
        raise InputError(
            f"{source}: line {start} is not CSV: {error}. Look for a quote out of place."
        ) from error
    if len(lines) < 2:
        raise InputError(f"{source}: a header and no rows. Expected a row for each rated image.")
    header = lines[0][1]
    while not header[-1]:  # spreadsheets write empty columns at the right
        header.pop()
    return lines


def _delimiter(text: str, named: _Named) -> str:
    """The one that parts the header into the columns looked for, else the first that parts it at all."""
    first = text.lstrip().splitlines()[0]
    headers = {
        mark: [cell.strip() for cell in next(csv.reader([first], delimiter=mark))] for mark in _DELIMITERS
    }
    parting = [mark for mark, header in headers.items() if len(header) > 1]
    for mark in parting:
        if _candidates(headers[mark], named.image, _IMAGE_NAMES) and _candidates(
            headers[mark], named.mos, _MOS_NAMES
        ):
            return mark
    return parting[0] if parting else ","


# --- columns --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Columns:
    """Where in a row the values stand."""

    count: int
    image: int
    mos: int
    mos_name: str
    reference: int | None
    reference_name: str
    deviation: int | None
    raters: int | None
    strict: bool  # whether the last two must hold numbers: not where nobody asked for them
    splits: Mapping[str, int]


def _find_columns(header: Sequence[str], named: _Named, source: str) -> _Columns:
    image = _require_column(header, named.image, _IMAGE_NAMES, "image", source)
    mos = _require_column(header, named.mos, _MOS_NAMES, "MOS", source)
    reference = _find_column(header, named.reference, _REFERENCE_NAMES, "reference", source)
    return _Columns(
        count=len(header),
        image=image,
        mos=mos,
        mos_name=header[mos],
        reference=reference,
        reference_name="" if reference is None else header[reference],
        deviation=_find_extra(header, named.deviation, _DEVIATION_NAMES, "deviation", source),
        raters=_find_extra(header, named.raters, _RATERS_NAMES, "raters", source),
        strict=named.deviation is not None or named.raters is not None,
        splits={name: index for index, name in enumerate(header) if "split" in name.lower()},
    )


def _require_column(
    header: Sequence[str], named: str | None, usual: Collection[str], kind: str, source: str
) -> int:
    index = _find_column(header, named, usual, kind, source)
    if index is None:
        if named is None and any(_is_number(cell) for cell in header):
            raise InputError(
                f"{source}: the first line is a row of ratings and not a header. "
                "Write one above it that names the columns, such as image,mos."
            )
        hint = "" if len(header) > 1 else " Columns are separated by a comma, a semicolon or a tab."
        raise InputError(
            f"{source}: no column has a usual name of the {kind} column. "
            f"Name it with {_option(kind)}. {_present(header)}{hint}"
        )
    return index


def _find_column(
    header: Sequence[str], named: str | None, usual: Collection[str], kind: str, source: str
) -> int | None:
    found = _candidates(header, named, usual)
    if named is not None and not found:
        raise InputError(f"{source}: no column '{named}', as {_option(kind)} names it. {_present(header)}")
    names = {header[index] for index in found}
    if len(names) > 1:
        raise InputError(
            f"{source}: several columns could be the {kind} column: {_quoted(sorted(names))}. "
            f"Name one of them with {_option(kind)}. {_present(header)}"
        )
    if len(found) > 1:
        raise InputError(
            f"{source}: {len(found)} columns are called '{header[found[0]]}'. Rename all but the "
            f"{kind} column in the header, or name another with {_option(kind)}. {_present(header)}"
        )
    return found[0] if found else None


def _find_extra(
    header: Sequence[str], named: str | None, usual: Collection[str], kind: str, source: str
) -> int | None:
    """As `_find_column`, for columns that are welcome but not needed: none where it is not clear which."""
    if named is None and len(_candidates(header, None, usual)) != 1:
        return None
    return _find_column(header, named, usual, kind, source)


def _candidates(header: Sequence[str], named: str | None, usual: Collection[str]) -> list[int]:
    if named is None:
        return [index for index, name in enumerate(header) if _plain(name) in usual]
    exact = [index for index, name in enumerate(header) if name == named]
    return exact or [index for index, name in enumerate(header) if _plain(name) == _plain(named)]


def _plain(name: str) -> str:
    """SPAQ's `Image name` is an `image_name`."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _option(kind: str) -> str:
    return "--std-column" if kind == "deviation" else f"--{kind.lower()}-column"


def _present(header: Sequence[str]) -> str:
    return f"Columns present: {_quoted(header)}."


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


# --- rows -----------------------------------------------------------------------------------------


class _RowError(Exception):
    """Why a row gives no rating; the message becomes the reason of a `BadRow`."""


@dataclass(frozen=True)
class _Row:
    line: int
    image: str
    path: str
    mos: float
    reference: str
    reference_name: str
    deviation: float
    raters: float
    splits: Mapping[str, str]


def _read_row(
    line: int, cells: Sequence[str], columns: _Columns, folder: str, mos_range: tuple[float, float] | None
) -> _Row:
    if len(cells) < columns.count:
        raise _RowError(f"too few columns: {len(cells)}, the header has {columns.count}")
    # More cells than columns: most often 3,5 for 3.5, whose 3 would pass for the MOS.
    if any(cells[columns.count :]):
        raise _RowError(
            f"too many columns: {len(cells)}, the header has {columns.count} (numbers have a decimal point; "
            "a name that contains the separator stands in quotes)"
        )
    image = cells[columns.image]
    if not image:
        raise _RowError("no image name")
    name = reference = ""
    if columns.reference is not None:
        name = cells[columns.reference]
        # Group names that differ in capitals or slashes only are one group: a split errs to the safe side.
        reference = name.replace("\\", "/").casefold()
        if not reference:
            raise _RowError(f"no reference in the column '{columns.reference_name}'")
    splits = {name: cells[index].lower() for name, index in columns.splits.items()}
    return _Row(
        line=line,
        image=image,
        path=_find_image(image, folder),
        mos=_read_mos(cells[columns.mos], mos_range),
        reference=reference,
        reference_name=name,
        deviation=_read_amount(cells, columns.deviation, "deviation", columns.strict),
        raters=_read_amount(cells, columns.raters, "number of raters", columns.strict),
        splits={name: _SPLIT_WORDS.get(value, value) for name, value in splits.items()},
    )


def _find_image(name: str, folder: str) -> str:
    """Join folder and name; a name from Windows has backslashes, which elsewhere may be part of a name."""
    for spelling in (name, name.replace("\\", "/")):
        path = os.path.join(folder, spelling)
        if os.path.isfile(path):
            return path
    if os.path.isdir(path):
        raise _RowError("a folder, not an image file")
    raise _RowError(f"{_NO_SUCH_FILE}: {path}")


def _read_mos(text: str, mos_range: tuple[float, float] | None) -> float:
    if not text:
        raise _RowError("no MOS")
    try:
        mos = float(text.replace("_", "?"))  # Python reads 1_0 as 10
    except ValueError:
        hint = f"; write {text.replace(',', '.')}" if re.fullmatch(r"[+-]?\d*,\d+", text) else ""
        raise _RowError(f"text where a number should be: '{text}'{hint}") from None
    if not math.isfinite(mos):
        raise _RowError(f"MOS {text} is not a finite number")
    if mos_range is not None and not mos_range[0] <= mos <= mos_range[1]:
        raise _RowError(f"MOS {text} is outside the range {mos_range[0]} to {mos_range[1]}")
    return mos


def _read_amount(cells: Sequence[str], column: int | None, what: str, strict: bool) -> float:
    """A number from 0 up; nan where there is no such column, or what it holds need not be a number."""
    if column is None:
        return math.nan
    try:
        amount = float(cells[column].replace("_", "?"))
    except ValueError:
        amount = math.nan
    if math.isfinite(amount) and amount >= 0:
        return amount
    if strict:
        raise _RowError(f"the {what} is '{cells[column]}', not a number from 0 up")
    return math.nan


def _merge_repetitions(rows: Sequence[_Row], raw: bool) -> tuple[list[_Row], list[BadRow], list[BadRow]]:
    """Keep an image once if its rows agree, and not at all if they do not; raw ratings agree by their mean.

    Returns:
        Rows kept, rows that repeat one of these, rows that contradict each other.
    """
    by_file: dict[str, list[_Row]] = {}
    for row in rows:
        by_file.setdefault(os.path.normcase(os.path.realpath(row.path)), []).append(row)
    kept: list[_Row] = []
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
            reason = f"the image of line {first.line} again, rated the same: used once"
            repeated += [BadRow(row.line, row.image, reason, repeated=True) for row in same[1:]]
            continue
        for row in same:
            others = ", ".join(str(other.line) for other in same if other is not row)
            reason = f"the same image as in line {others} with another {what}"
            reason += _RAW_HINT if "MOS" in what else ""
            conflicting.append(BadRow(row.line, row.image, reason))
    return kept, repeated, conflicting


def _mean_of(same: Sequence[_Row]) -> _Row:
    """One row with the mean of single ratings, their deviation (unbiased) and number."""
    values = np.array([row.mos for row in same])
    deviation = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return dataclasses.replace(
        same[0], mos=float(values.mean()), deviation=deviation, raters=float(len(values))
    )


def _difference(same: Sequence[_Row], raw: bool) -> str | None:
    """What rows of one image disagree about."""
    first = same[0]
    if not raw and any(row.mos != first.mos for row in same):
        return "MOS (" + ", ".join(str(row.mos) for row in same) + ")"
    if any(row.reference != first.reference for row in same):
        return "reference"
    if any(row.splits != first.splits for row in same):
        return "split"
    return None


def _references(rows: Sequence[_Row], columns: _Columns) -> tuple[tuple[str, ...] | None, str]:
    if columns.reference is not None:
        return tuple(row.reference for row in rows), f"column '{columns.reference_name}'"
    references = references_of(row.path for row in rows)
    return references, "" if references is None else "file names"


# --- complaints -----------------------------------------------------------------------------------


def _line_of(bad: BadRow) -> int:
    return bad.row or 0


def _complaint(
    source: str, lines: Sequence[_Line], bad: Sequence[BadRow], folder: str, *, all_bad: bool
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
    if first.row == lines[1][0] and first.reason.startswith(_NO_SUCH_FILE):
        text.append(
            f"Images were looked for in '{folder or os.curdir}'; --images FOLDER names another folder."
        )
    text.append("Correct the rows." if all_bad else "Correct the rows, or go on without them: --skip-bad.")
    return "\n".join(text)
