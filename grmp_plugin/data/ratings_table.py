"""A ratings file or data frame as lines of cells: encoding, separator, quoting."""

import codecs
import csv
import io
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from grmp_plugin.data.ratings_columns import IMAGE_NAMES, MOS_NAMES, NamedColumns, candidates
from grmp_plugin.data.ratings_sheets import Line, frame_lines, is_frame, read_sheet, table_kind
from grmp_plugin.errors import InputError

if TYPE_CHECKING:
    import pandas

DELIMITERS = (",", ";", "\t")
_MOST_BYTES = 256 << 20  # some million rows; a device such as /dev/zero has no end
_LONGEST_HEADER = 100_000  # characters; Python's csv accepts no longer cell
# Spreadsheets write and read such a first line, which names the separator.
SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?[ ]*(?:\r\n|\r|\n)", re.IGNORECASE)


class Table(NamedTuple):
    """Lines of cells, header first, and what separates cells in the file; None if it is no text."""

    lines: list[Line]
    delimiter: str | None


def read_lines(source: str, named: NamedColumns) -> Table:
    """Read a ratings file.

    Args:
        source: CSV in UTF-8, a workbook or a Parquet file.
        named: Columns named by the caller.

    Raises:
        InputError: When the file cannot be read, or has no rows.
    """
    kind = table_kind(source)
    if kind is not None:
        return Table(_checked(read_sheet(source, kind), source), None)
    return read_table(read_text(source), named, source)


def read_frame(frame: "pandas.DataFrame") -> Table:
    """Take a data frame; raises InputError when it is something else, or has no rows."""
    if not is_frame(frame):
        raise InputError(
            f"ratings are a file, a pandas data frame, a data set's name or what read_ratings returned, not "
            f"{type(frame).__name__}"
        )
    return Table(_checked(frame_lines(frame), "data frame"), None)


def read_text(source: str) -> str:
    """Read the text of a ratings file; raises InputError when it is no text file."""
    if os.path.isdir(source):
        raise InputError(f"{source}: a folder, not a file. Name the CSV file of the ratings")
    try:
        with open(source, "rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"{source}: no such file. Name the CSV file of the ratings") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{source}: cannot be read: {reason}") from error
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{source}: larger than {_MOST_BYTES >> 20} MiB, so no table of ratings")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{source}: text in UTF-16. Save the ratings as CSV in UTF-8")
    if b"\0" in raw:
        raise InputError(f"{source}: not a text file. Save the ratings as CSV in UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + len(re.findall(b"\r\n|\r|\n", error.object[: error.start]))
        raise InputError(
            f"{source}: line {line} is not UTF-8 text. Save the ratings as CSV in UTF-8"
        ) from error
    if not text.strip():
        raise InputError(
            f"{source}: the file is empty. Expected a header such as image,mos, and rows below it"
        )
    return text


def read_table(text: str, named: NamedColumns, source: str) -> Table:
    """Split the text into lines of cells, header first; empty lines are dropped."""
    first = SEPARATOR_LINE.match(text)
    text = text if first is None else text[first.end() :]
    mark = delimiter(text, named, source) if first is None else first[1]
    stream = io.StringIO(text, newline="")
    # Strict, as a quote that is never closed would swallow all rows below it.
    reader = csv.reader(stream, delimiter=mark, skipinitialspace=True, strict=True)
    lines: list[Line] = []
    above = 0 if first is None else 1
    start = above + 1
    try:
        for cells in reader:
            lines.append((start, cells))
            start = above + reader.line_num + 1  # a quoted cell may span lines; a row is at its first line
    except csv.Error as error:
        raise InputError(f"{source}: line {start} is not CSV: {error}. Look for a misplaced quote") from error
    return Table(_checked(lines, source), mark)


def _checked(lines: list[Line], source: str) -> list[Line]:
    """Lines without empty ones, and a header without spaces around its names."""
    filled = [(number, cells) for number, cells in lines if any(cell.strip() for cell in cells)]
    if len(filled) < 2:
        raise InputError(f"{source}: a header and no rows. Expected a row for each rated image")
    number, cells = filled[0]
    header = [cell.strip() for cell in cells]
    while not header[-1]:  # spreadsheets add empty columns at the right
        header.pop()
    return [(number, header), *filled[1:]]


def delimiter(text: str, named: NamedColumns, source: str) -> str:
    """The separator that splits the header into the required columns, else the first that splits it."""
    first = text.lstrip().splitlines()[0]
    if len(first) > _LONGEST_HEADER:
        raise InputError(
            f"{source}: the first line has {len(first)} characters. Expected a header such as image,mos"
        )
    headers = {
        mark: [cell.strip() for cell in next(csv.reader([first], delimiter=mark))] for mark in DELIMITERS
    }
    splitting = [mark for mark, header in headers.items() if len(header) > 1]
    for mark in splitting:
        if candidates(headers[mark], named.image, IMAGE_NAMES) and candidates(
            headers[mark], named.mos, MOS_NAMES
        ):
            return mark
    return splitting[0] if splitting else ","
