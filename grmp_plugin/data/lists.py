"""Lists of images: text files with one path a line, and columns of CSV and Parquet files."""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from grmp_plugin.data.image_tables import ADDRESS_NAMES, TABLE_SUFFIX, column_values
from grmp_plugin.data.places import Place
from grmp_plugin.data.unreadable import unread_reason
from grmp_plugin.errors import InputError

_SUFFIXES = (".txt", ".csv")


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
            if name:
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
    with place.open() as file:
        if place.name.lower().endswith(".csv"):
            yield from _cells(file, place.name, column)
        else:
            # Not all line ends: some characters that end a line may occur in a name.
            for line in _text(file, newline="\n"):
                yield line.rstrip("\r\n")


def _cells(file: BinaryIO, name: str, column: str | None) -> Iterator[str]:
    rows = csv.DictReader(_text(file, newline=""))
    header = list(rows.fieldnames or ())
    wanted = column or next((one for one in header if one.strip().lower() in ADDRESS_NAMES), None)
    if wanted not in header:
        missing = "no column of paths" if column is None else f"no column '{column}'"
        raise InputError(f"{name}: {missing}; columns: {', '.join(header)}", see=("image_column",))
    for row in rows:
        yield row[wanted] or ""


def _text(file: BinaryIO, newline: str) -> io.TextIOWrapper:
    # File names are bytes: decoded as the system decodes them, names that are not UTF-8 survive.
    text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline=newline)
    if text.read(1) != "\ufeff":
        text.seek(0)
    return text
