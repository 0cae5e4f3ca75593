"""Rows as CSV, JSON, JSON Lines and Parquet, and files that are either complete or absent."""

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.files import atomic_write

TABLE_SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")
REPORT_SUFFIXES = (".html", ".htm")

Row = Mapping[str, Any]


def check_table_path(path: str | os.PathLike[str], argument: str) -> Path:
    """Check that a table can be written to a path, before any work is done.

    Args:
        path: A .csv, .json, .jsonl or .parquet file.
        argument: Name of the argument that gave the path, for messages.

    Raises:
        InputError: For another extension, a folder, or a folder that is missing or not writable.
    """
    if Path(path).suffix.lower() not in TABLE_SUFFIXES:
        expected = ", ".join(TABLE_SUFFIXES)
        raise InputError(
            f"{path}: the extension decides the format; use one of {expected}", argument=argument
        )
    return check_file_path(path, argument)


def check_report_path(path: str | os.PathLike[str], argument: str) -> Path:
    """Check that an HTML page can be written to a path; errors as for `check_table_path`."""
    if Path(path).suffix.lower() not in REPORT_SUFFIXES:
        raise InputError(
            f"{path}: a report is an .html file; call it {Path(path).stem}.html", argument=argument
        )
    return check_file_path(path, argument)


def check_file_path(path: str | os.PathLike[str], argument: str) -> Path:
    """Check that a file can be written to a path; errors as for `check_table_path`."""
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{file} is a folder; name a file in it", argument=argument)
    if file.exists() and not file.is_file():
        raise InputError(f"{file} is a device or a pipe; name a file", argument=argument)
    # Where the file is a link, what it leads to is written.
    _check_folder(Path(os.path.realpath(file)).parent, file, argument)
    return file


def check_not_input(
    path: str | os.PathLike[str] | None, inputs: Iterable[str | os.PathLike[str]], argument: str
) -> None:
    """Check that writing to a path does not replace a file that is read, by whatever name.

    Args:
        path: File to write; None: nothing is written.
        inputs: Files that are read; names that are no files are ignored.
        argument: Name of the argument that gave the path, for messages.

    Raises:
        InputError: When they are the same file, through links too.
    """
    if path is not None:
        check_no_inputs([path], inputs, argument)


def check_no_inputs(
    paths: Iterable[str | os.PathLike[str]],
    inputs: Iterable[str | os.PathLike[str]],
    argument: str,
    named: str = "file",
) -> None:
    """Check that writing to several paths replaces no file that is read; see `check_not_input`.

    Args:
        paths: Files to write.
        inputs: As there, as the rest.
        argument: See there.
        named: What that argument names, a file or the folder of all paths.
    """
    targets = {_identity(path): path for path in paths}
    targets.pop(None, None)  # files that do not exist yet
    for name in inputs if targets else ():
        if (found := _identity(name)) in targets:
            raise InputError(
                f"{targets[found]} is the input {os.fspath(name)}; name another {named}", argument=argument
            )


def _identity(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def check_folder_path(path: str | os.PathLike[str], argument: str) -> Path:
    """Check that a folder exists and is writable, or can be created; errors as for `check_table_path`."""
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder", argument=argument)
    _check_folder(folder if folder.exists() else folder.parent, folder, argument)
    return folder


def _check_folder(folder: Path, named: Path, argument: str) -> None:
    if not folder.is_dir():
        raise InputError(f"{named}: the folder {folder} does not exist; create it first", argument=argument)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{named}: {error.strerror or error}", argument=argument) from error


def json_text(data: Any, indent: int | None = 2) -> str:
    """Readable JSON, NaN as null; escaped where a file name is not valid Unicode."""
    plain = without_nan(data)
    text = json.dumps(plain, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(plain, indent=indent)
    return text


def without_nan(data: Any) -> Any:
    """Plain data with None in place of NaN, which JSON does not have."""
    if isinstance(data, Mapping):
        return {name: without_nan(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_nan(value) for value in data]
    return None if isinstance(data, float) and math.isnan(data) else data


def csv_text(rows: Iterable[Row], columns: Sequence[str], *, header: bool = True) -> str:
    """CSV; an empty cell where there is no value."""
    lines = []
    for row in (*([{name: name for name in columns}] if header else []), *rows):
        text = io.StringIO()
        # The writer quotes only the line ends that it writes itself; a file name may contain either.
        csv.DictWriter(text, columns, lineterminator="\r\n").writerow(row)
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def jsonl_text(rows: Iterable[Row]) -> str:
    """One JSON object per line."""
    return "".join(json_text(row, indent=None) + "\n" for row in rows)


def write_table(path: Path, rows: Sequence[Row], columns: Sequence[str], document: Mapping[str, Any]) -> None:
    """Write rows in the format of the file's extension; the file is complete or absent.

    Args:
        path: .csv, .json, .jsonl or .parquet.
        rows: Mappings with `columns` as keys.
        columns: Their order.
        document: The whole content of a .json file; its "run" goes into the metadata of a .parquet file.

    Raises:
        GRMPError: When the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        with writing(path) as temporary:
            _write_parquet(temporary, rows, columns, document["run"])
        return
    text = {
        ".csv": lambda: csv_text(rows, columns),
        ".json": lambda: json_text(document) + "\n",
        ".jsonl": lambda: jsonl_text(rows),
    }[suffix]()
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8; the file is complete or absent.

    Raises:
        GRMPError: When the file cannot be written.
    """
    with writing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """As `atomic_write`; raises GRMPError when the file cannot be written."""
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise GRMPError(f"{path}: {error.strerror or error}") from error


def _write_parquet(path: Path, rows: Sequence[Row], columns: Sequence[str], run: Any) -> None:
    import pyarrow
    import pyarrow.parquet

    # Arrow's strings are strict UTF-8.
    data = {column: [_valid_text(row[column]) for row in rows] for column in columns}
    table = pyarrow.table(data).replace_schema_metadata({"run": json.dumps(without_nan(run))})
    pyarrow.parquet.write_table(table, path)


def plain_text(text: str) -> str:
    """A text as Parquet can hold it: bytes that are not UTF-8 as `\\udcXX`, so that names stay distinct."""
    return text.encode("utf-8", "backslashreplace").decode()


def _valid_text(value: Any) -> Any:
    return plain_text(value) if isinstance(value, str) else value
