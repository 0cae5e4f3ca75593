"""Where a command's words go: data to stdout or a file, everything else to stderr."""

import csv
import io
import json
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.files import atomic_write
from grmp_plugin.printable import printable

messages = Console(stderr=True, highlight=False, soft_wrap=True)

FILE_FORMATS = (".csv", ".json", ".jsonl", ".parquet")


class Format(str, Enum):
    """What a command prints on stdout."""

    table = "table"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"


def error(text: str) -> None:
    """Say what went wrong, on stderr; the text is never read as markup."""
    messages.print("error:", style="bold red", end=" ")
    messages.print("\n".join(printable(line) for line in text.splitlines()), markup=False)


def note(text: str) -> None:
    """Say something worth knowing, on stderr; the text is never read as markup."""
    messages.print(printable(text), markup=False, style="dim")


def check_out(path: Path, option: str = "--out") -> None:
    """Refuse an output file that could not be written in the end, before any work is done.

    Raises:
        InputError: for an unknown extension, or a folder that is not there.
    """
    if path.suffix.lower() not in FILE_FORMATS:
        raise InputError(
            f"{option} {path}: the extension decides the format; it is one of {', '.join(FILE_FORMATS)}"
        )
    check_place(path, option)


def check_place(path: Path, option: str = "--out") -> None:
    """Refuse a place where no file could be written in the end, before any work is done.

    Raises:
        InputError: for a folder, and in a folder that is not there or cannot be written to.
    """
    if path.is_dir():
        raise InputError(f"{option} {path}: that is a folder; name a file in it")
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: the folder {path.parent} does not exist; create it first")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as problem:
        raise InputError(f"{option} {path}: {problem.strerror or problem}") from problem


def check_report(path: Path) -> None:
    """Refuse a --report that is no .html file, or could not be written in the end."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--report {path}: a report is an .html file; call it {path.stem}.html")
    check_place(path, "--report")


def check_folder(path: Path) -> None:
    """Refuse a --maps that could not be a folder."""
    if path.exists() and not path.is_dir():
        raise InputError(f"--maps {path}: that is a file; name a folder")
    if not path.parent.is_dir():
        raise InputError(f"--maps {path}: the folder {path.parent} does not exist; create it first")
    try:
        tempfile.TemporaryFile(dir=path if path.exists() else path.parent).close()
    except OSError as problem:
        raise InputError(f"--maps {path}: {problem.strerror or problem}") from problem


def fits(table: Table) -> bool:
    """Whether a table can be printed on stdout without cutting or folding a cell."""
    console = Console(highlight=False)
    wide = Console(highlight=False, width=100_000)
    return not console.is_terminal or wide.measure(table).maximum <= console.width


def print_table(table: Table) -> None:
    """Print a table on stdout; in a pipe it is as wide as its content, so that nothing is cut."""
    console = Console(highlight=False)
    if not console.is_terminal:
        wide = Console(highlight=False, width=100_000)
        console = Console(highlight=False, width=wide.measure(table).maximum)
    console.print(table)


def json_text(data: Any, indent: int | None = 2) -> str:
    """Readable JSON; escaped where a file's name is not valid Unicode, so that it stays JSON."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(data, indent=indent)
    return text


def without_nan(data: Any) -> Any:
    """Plain data with None in place of NaN, which JSON does not have."""
    if isinstance(data, dict):
        return {name: without_nan(value) for name, value in data.items()}
    if isinstance(data, list):
        return [without_nan(value) for value in data]
    return None if isinstance(data, float) and math.isnan(data) else data


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """CSV with a header; empty cells where there is no value."""
    lines = []
    for row in ({name: name for name in columns}, *rows):
        text = io.StringIO()
        # The writer quotes only the line ends that it writes itself; a name may hold either.
        csv.DictWriter(text, columns, lineterminator="\r\n").writerow(row)
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def jsonl_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(json_text(row, indent=None) + "\n" for row in rows)


def print_data(text: str) -> None:
    """Print data on stdout as it is, in UTF-8; undecodable names survive as the system's bytes."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stand-in for stdout, as another program may put there
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    buffer.write(text.encode("utf-8", "surrogateescape"))
    buffer.flush()


def write_text(path: Path, text: str, option: str) -> None:
    """Write text to a file, in UTF-8; the file is whole or not there."""
    with _writing(path, option) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def write_rows(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    document: Any,
    option: str = "--out",
) -> None:
    """Write rows to a file in the format of its extension; the file is whole or not there.

    Args:
        path: .csv, .json, .jsonl or .parquet.
        rows: mappings with `columns` as keys.
        columns: their order.
        document: for .json, the whole document; its "run" goes into .parquet's metadata.
        option: which one named the file, for messages.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        with _writing(path, option) as temporary:
            _write_parquet(temporary, rows, columns, document["run"])
        return
    text = {
        ".csv": lambda: csv_text(rows, columns),
        ".json": lambda: json_text(document) + "\n",
        ".jsonl": lambda: jsonl_text(rows),
    }[suffix]()
    write_text(path, text, option)


@contextmanager
def _writing(path: Path, option: str) -> Iterator[Path]:
    """A temporary file that becomes `path`, and words for what the system says of it."""
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as problem:
        raise GRMPError(f"{option} {path}: {problem.strerror or problem}") from problem


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], run: Any) -> None:
    import pyarrow
    import pyarrow.parquet

    data = {
        column: [_valid_text(row[column]) for row in rows] for column in columns
    }  # Arrow's strings are strict UTF-8
    table = pyarrow.table(data).replace_schema_metadata({"run": json.dumps(run)})
    pyarrow.parquet.write_table(table, path)


def _valid_text(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
