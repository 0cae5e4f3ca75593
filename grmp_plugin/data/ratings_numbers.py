"""Numbers of ratings files, also with a decimal comma, as spreadsheets write them in much of the world."""

import math
import re
from collections.abc import Iterable, Sequence

from grmp_plugin.data.ratings_sheets import Line
from grmp_plugin.printable import shortened

LARGEST = 1e50
"""Largest rating that is accepted: with larger ones, fourth powers in statistics would overflow."""

_SHOWN = 60  # characters of a cell in a message
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_POINT = re.compile(r"\d\.|\.\d")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")


def with_decimal_points(lines: Sequence[Line], columns: Iterable[int], delimiter: str | None) -> list[Line]:
    """Write the numbers of some columns with a decimal point, where they have a decimal comma beyond doubt.

    A comma is the decimal one if it does not separate cells and no number of the column has a point. 1,503
    may be a thousand, and in a file with tabs is read only beside numbers such as 4,67. Semicolons separate
    where the comma is taken.

    Args:
        lines: Numbered lines of cells, header first.
        columns: Positions of the columns.
        delimiter: What separates cells.
    """
    changed = [(number, list(cells)) for number, cells in lines]
    if delimiter in (",", None):
        return changed
    for column in columns:
        rows = [cells for _, cells in changed[1:] if column < len(cells)]
        values = [cells[column].strip() for cells in rows]
        commas = [value for value in values if _COMMA.fullmatch(value)]
        beyond_doubt = delimiter == ";" or any(not may_be_thousands(value) for value in commas)
        if beyond_doubt and not any(_POINT.search(value) for value in values):
            for cells, value in zip(rows, values, strict=True):
                if _COMMA.fullmatch(value):
                    cells[column] = value.replace(",", ".")
    return changed


def may_be_thousands(text: str) -> bool:
    """Whether commas in a number may separate thousands, as in 1,503."""
    return _THOUSANDS.fullmatch(text) is not None


def advice(text: str) -> str:
    """How to write a number with a comma, to follow a message; empty for other text."""
    if may_be_thousands(text):
        return "; write it without a comma, and with a point if it has decimals"
    return f"; write {text.replace(',', '.')}" if _COMMA.fullmatch(text) else ""


def read_number(text: str, what: str = "") -> float:
    """A finite number from a cell.

    Args:
        text: The cell.
        what: What it is, for messages, such as "MOS".

    Raises:
        ValueError: When it is none, or beyond `LARGEST`; the message says so in words.
    """
    cell = shortened(text, _SHOWN)
    named = f"{what} {cell}".strip()
    try:
        value = float(text.replace("_", "?"))  # Python reads 1_0 as 10
    except ValueError:
        raise ValueError(f"text where a number should be: '{cell}'{advice(text)}") from None
    if not math.isfinite(value):
        raise ValueError(f"{named} is not a finite number")
    if abs(value) > LARGEST:
        raise ValueError(f"{named} is beyond {LARGEST:g}, so no rating")
    return value
