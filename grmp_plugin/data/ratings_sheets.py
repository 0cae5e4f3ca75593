"""Ratings in spreadsheets and other files that are no CSV: read where pandas can, else said what to do."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from grmp_plugin.errors import InputError

if TYPE_CHECKING:
    import pandas

Line = tuple[int, list[str]]  # number in the file, and cells

_ADVICE = "save the ratings as CSV UTF-8"
_PARQUET = "a Parquet file"
_OLD_EXCEL = "an Excel 97 workbook"
# Suffix -> what people call it.
_KINDS = {
    ".xlsx": "an Excel workbook",
    ".xlsm": "an Excel workbook",
    ".xlsb": "an Excel workbook",
    ".xls": _OLD_EXCEL,
    ".ods": "an OpenDocument spreadsheet",
    ".numbers": "a Numbers spreadsheet",
    ".parquet": _PARQUET,
    ".json": "a JSON file",
    ".jsonl": "a JSON Lines file",
    ".feather": "a Feather file",
}
TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".txt", *_KINDS))
"""Suffixes of tables, which are never images."""

# Suffix -> the package that pandas reads it with.
_ENGINES = {
    ".xlsx": "openpyxl",
    ".xlsm": "openpyxl",
    ".xlsb": "pyxlsb",
    ".xls": "xlrd",
    ".ods": "odfpy",
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def table_kind(path: str) -> str | None:
    """What kind of table a file is, by its suffix or first bytes, in words; None for text and all else."""
    kind = _KINDS.get(os.path.splitext(path)[1].lower())
    if kind is not None or not os.path.isfile(path):
        return kind
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return None
    if head.startswith(b"PK\x03\x04") and (b"xl/" in head or b"[Content_Types].xml" in head):
        return _KINDS[".xlsx"]
    if head.startswith(_OLE):
        return _OLD_EXCEL
    return _PARQUET if head.startswith(b"PAR1") else None


def read_sheet(path: str, kind: str) -> list[Line]:
    """Read a table that is no text, the first sheet of a workbook.

    Args:
        path: The file.
        kind: What `table_kind` says.

    Returns:
        Numbered lines of cells, header first; a workbook's are numbered as the spreadsheet shows them.

    Raises:
        InputError: When there is no such file, or it cannot be read.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file. Name the CSV file of the ratings")
    if kind == _PARQUET:
        return frame_lines(_read(path, kind, _parquet))
    suffix = os.path.splitext(path)[1].lower()
    if suffix in _ENGINES:
        return _rows(_read(path, kind, _excel))
    raise InputError(f"{path}: {kind}: {_ADVICE}, with a header such as image,mos")


def is_frame(value: object) -> bool:
    """Whether a value is a data frame; asked by its methods, without importing pandas."""
    return hasattr(value, "columns") and hasattr(value, "itertuples")


def frame_lines(frame: "pandas.DataFrame") -> list[Line]:
    """Lines of a data frame, header first, rows counted from 1; a missing value is an empty cell."""
    return [(0, [str(name) for name in frame.columns]), *_rows(frame)]


def _rows(frame: "pandas.DataFrame") -> list[Line]:
    cells = frame.astype(object).where(frame.notna(), "").itertuples(index=False, name=None)
    return [(number, [str(cell) for cell in row]) for number, row in enumerate(cells, 1)]


def _read(path: str, kind: str, read: "Callable[[str], pandas.DataFrame]") -> "pandas.DataFrame":
    try:
        return read(path)
    except ImportError as error:
        needed = _ENGINES.get(os.path.splitext(path)[1].lower(), "pyarrow")
        raise InputError(f"{path}: {kind}: {_ADVICE}, or install {needed} to have it read") from error
    # Readers of foreign files may raise anything; whatever it is, only this file is at fault.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: {kind} that cannot be read ({reason}): {_ADVICE}") from error


def _excel(path: str) -> "pandas.DataFrame":
    import pandas

    # Without pandas' own names for missing values: `NA` may be the name of an image.
    return pandas.read_excel(path, header=None, dtype=object, keep_default_na=False)


def _parquet(path: str) -> "pandas.DataFrame":
    import pandas

    return pandas.read_parquet(path)
