"""Lists of images: text files with one path a line, and columns of CSV and Parquet files."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from grmp_plugin.data.image_tables import ADDRESS_NAMES, TABLE_SUFFIX, column_values, listed
from grmp_plugin.data.places import Place
from grmp_plugin.data.ratings_table import DELIMITERS, SEPARATOR_LINE
from grmp_plugin.data.unreadable import unread_reason
from grmp_plugin.errors import InputError

_SUFFIXES = (".txt", ".csv")
_LONGEST_LINE = 1 << 20  # characters; a device such as /dev/zero has no end


def is_list(name: str) -> bool:
    """Whether a file is a list, by its name."""
    return name.lower().endswith(_SUFFIXES)


def listed_names(place: Place, column: str | None) -> Iterator[str]:
    """Yield the paths and addresses of a list, a few rows in memory at a time.

    Args:
        place: A .txt, .csv or .parquet file.
        column: Column of a table; for .csv, None: found by the usual names.

    Raises:
        InputError: When the list cannot be read or is empty, or the column is missing.
    """
    empty = True
    try:
        for name in _names(place, column):
            if name.strip():
                empty = False
                yield name
    except InputError:
        raise
    except Exception as error:  # pyarrow's, and those of a file system's library
        raise InputError(f"{place.name}: {unread_reason(error)}") from error
    if empty:
        raise InputError(f"{place.name}: the list is empty")


def _names(place: Place, column: str | None) -> Iterator[str]:
    if place.name.lower().endswith(TABLE_SUFFIX):
        yield from (value or "" for value in column_values(place, str(column)))
        return
    if not place.name.lower().endswith(".csv"):
        yield from text_lines(place)
        return
    with place.open() as file:
        yield from _cells(_lines(file, place.name, newline=""), place.name, column)


def _cells(lines: Iterator[str], name: str, column: str | None) -> Iterator[str]:
    first = next(lines, "")
    separator = SEPARATOR_LINE.match(first)
    if separator is not None:  # what spreadsheets write and read; the header is below it
        first = next(lines, "")
    marks = DELIMITERS if separator is None else (separator[1],)
    headers = {mark: _header(first, mark) for mark in marks}
    mark = next((mark for mark in marks if _column(headers[mark], column)), marks[0])
    wanted, header = _column(headers[mark], column), headers[mark]
    if not any(header):
        return
    if wanted is None:
        missing = "no column of paths" if column is None else f"no column '{column}'"
        raise InputError(f"{name}: {missing}; columns: {listed(header)}", see=("image_column",))
    if header.count(wanted) > 1:
        raise InputError(f"{name}: two columns are called '{wanted}'; rename one of them")
    rows = csv.reader(chain([first], lines), delimiter=mark)
    next(rows)
    place = header.index(wanted)
    for row in rows:
        yield row[place] if place < len(row) else ""


def _header(line: str, mark: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]


def _column(header: Sequence[str], column: str | None) -> str | None:
    """Name of the column of paths; None if there is none."""
    if column:
        return column if column in header else None
    return next((one for one in header if one.lower() in ADDRESS_NAMES), None)


def text_lines(place: Place) -> Iterator[str]:
    """Yield the lines of a text file, without their ends.

    Raises:
        InputError: When it is no text.
        ImageError, OSError: When it is no file, or cannot be read.
    """
    with place.open() as file:
        # Not all line ends: some characters that end a line may occur in a name.
        for line in _lines(file, place.name, newline="\n"):
            yield line.rstrip("\r\n")


def _lines(file: BinaryIO, name: str, newline: str) -> Iterator[str]:
    """Yield lines with their ends; InputError for what is no text."""
    text = _text(file, newline)
    number = 0
    while line := text.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise InputError(
                f"{name}: line {number} has more than {_LONGEST_LINE} characters; expected one path a line"
            )
        if "\0" in line:
            raise InputError(f"{name}: line {number} is not text; save the list as text in UTF-8")
        yield line


def _text(file: BinaryIO, newline: str) -> io.TextIOWrapper:
    # File names are bytes: decoded as the system decodes them, names that are not UTF-8 survive.
    text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline=newline)
    if text.read(1) != "\ufeff":
        text.seek(0)
    return text
