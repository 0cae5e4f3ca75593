"""Rows of a job, and their files: a journal line by line, and Parquet parts."""

import errno
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from grmp_plugin.errors import InputError
from grmp_plugin.files import durable_write
from grmp_plugin.plain_data import read_json, shown
from grmp_plugin.tables import without_nan, writing

if TYPE_CHECKING:
    import pyarrow

UNREAD = "unread"
"""Version of what could not be read for a reason that may pass: it differs from any other."""

_SHOWN = ("image", "score", "error")
_FINISHED = b"finished"  # key in the metadata of a part
_AT_ONCE = 1000


class JobRow(NamedTuple):
    """One image of a job.

    Attributes:
        image: Path, address, or name in its shard.
        score: None where `error` says why.
        error: None where there is a score.
        source: The shard that holds the image; None for a file of its own.
        version: What the file, or the shard, was when the image was scored: see `Place.version`; or `UNREAD`.
    """

    image: str
    score: float | None
    error: str | None
    source: str | None
    version: str


class Finished(NamedTuple):
    """A shard of images that was read to its end.

    Attributes:
        source: The shard.
        version: What it was.
    """

    source: str
    version: str


class DamagedPartError(Exception):
    """A part cannot be read."""


def write_part(path: Path, entries: Iterable[JobRow | Finished]) -> None:
    """Write a part; it has its name only when it is complete."""
    import pyarrow.parquet

    tables, finished = [rows_table(())], []
    remaining = iter(entries)
    # Some at a time: as Python's objects, rows take many times the memory that they take in a table.
    while some := list(islice(remaining, _AT_ONCE)):
        tables.append(rows_table(entry for entry in some if isinstance(entry, JobRow)))
        finished += [entry for entry in some if isinstance(entry, Finished)]
    table = pyarrow.concat_tables(tables).replace_schema_metadata({_FINISHED: json.dumps(finished)})
    with durable_write(path) as temporary:
        # Checksums, so that damage inside a page is found.
        pyarrow.parquet.write_table(table, temporary, write_page_checksum=True)


def rows_table(rows: Iterable[Sequence[Any]]) -> "pyarrow.Table":
    """Rows, each with the values of a `JobRow`, as a table with the columns of a part."""
    import pyarrow

    columns = list(zip(*rows, strict=True)) or [()] * len(part_schema())
    arrays = [_array(values, field.type) for values, field in zip(columns, part_schema(), strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=part_schema())


def _array(values: Sequence[Any], kind: "pyarrow.DataType") -> "pyarrow.Array":
    """An array of texts or of floats, each of which may be None.

    From buffers, because `pyarrow.array` would import pandas: 50 MB in the middle of a job.
    """
    import pyarrow

    valid = np.packbits(np.array([value is not None for value in values], dtype=bool), bitorder="little")
    if kind == pyarrow.string():
        encoded = [(value or "").encode() for value in values]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
        content: list[Any] = [ends, b"".join(encoded)]
    else:
        content = [np.array([0.0 if value is None else value for value in values], dtype=np.float64)]
    return pyarrow.Array.from_buffers(kind, len(values), [*map(pyarrow.py_buffer, (valid, *content))])


def part_schema() -> "pyarrow.Schema":
    """Names and types of the columns of a part."""
    import pyarrow

    text = pyarrow.string()
    types = {"image": text, "score": pyarrow.float64(), "error": text, "source": text, "version": text}
    return pyarrow.schema(types.items())


def read_part(path: Path) -> tuple[list[JobRow], list[Finished]]:
    """Rows of a part, and the shards that were finished in it.

    Raises:
        DamagedPartError: When the part is not as it was written.
    """
    import pyarrow.parquet

    try:
        if not path.is_file():  # a pipe would never answer
            raise ValueError("not a file")
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(columns=list(JobRow._fields))
            metadata: Mapping[bytes, bytes] = file.schema_arrow.metadata or {}
            finished = [_finished(_list(one)) for one in _list(json.loads(metadata[_FINISHED]))]
        values = [table.column(name).to_pylist() for name in JobRow._fields]
        return [_row(row) for row in zip(*values, strict=True)], finished
    except Exception as error:  # whatever is raised, the part is not as it was written
        raise DamagedPartError(f"{path}: {error}") from error


def journal_line(entry: JobRow | Finished) -> bytes:
    """One line of a journal."""
    return (json.dumps(entry) + "\n").encode("ascii")


def read_journal(path: Path) -> Iterator[JobRow | Finished]:
    """Entries of a journal up to the first line that is damaged or incomplete.

    Raises:
        OSError: When it is not a file.
    """
    if not path.is_file():  # a pipe would never answer
        raise OSError(errno.EINVAL, "not a file", str(path))
    with open(path, "rb") as file, suppress(ValueError, TypeError, RecursionError):
        for line in file:
            values = _list(json.loads(line))
            if not line.endswith(b"\n"):
                return
            yield _finished(values) if len(values) == len(Finished._fields) else _row(values)


def _list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError(f"{shown(values)} is no list")
    return values


def _row(values: Sequence[Any]) -> JobRow:
    """A row from the values in a file; ValueError or TypeError where these are of other types."""
    row = JobRow(*values)
    _check_texts(row.image, row.version, *(each for each in (row.error, row.source) if each is not None))
    if row.score is not None and not (type(row.score) is float and math.isfinite(row.score)):
        raise ValueError(f"the score {shown(row.score)}")
    return row


def _finished(values: Sequence[Any]) -> Finished:
    """As `_row`, of a shard of images."""
    finished = Finished(*values)
    _check_texts(*finished)
    return finished


def _check_texts(*texts: Any) -> None:
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{shown(text)} is no text")
        text.encode()  # UnicodeEncodeError, a ValueError, for what Parquet cannot hold


def merge_parts(parts: Sequence[Path], path: Path, run: Mapping[str, Any]) -> None:
    """Write the rows of parts into one Parquet file as `Scores.write` would, one part in memory at a time.

    Raises:
        GRMPError: When the file cannot be written.
    """
    import pyarrow.parquet

    shown = part_schema()
    shown = pyarrow.schema([shown.field(name) for name in _SHOWN], {"run": json.dumps(without_nan(run))})
    with writing(path) as temporary, pyarrow.parquet.ParquetWriter(temporary, shown) as writer:
        for part in parts:
            table = pyarrow.parquet.ParquetFile(part).read(columns=list(_SHOWN))
            writer.write_table(table.cast(shown))


def read_merged(path: Path) -> tuple[list[str], int, Mapping[str, Any]]:
    """Images of a file of `merge_parts`, how many of them failed, and the record of the run.

    Raises:
        InputError: When it is no such file.
    """
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read(columns=list(_SHOWN))
        if table.schema.types != [part_schema().field(name).type for name in _SHOWN]:
            raise ValueError(f"columns {table.schema.names}")
        run = read_json(table.schema.metadata[b"run"].decode(), f"{path}: run")
        if not isinstance(run, Mapping):
            raise ValueError("no record of a run")
        return table.column("image").to_pylist(), table.column("score").null_count, run
    # Whatever pyarrow raises for a file of another origin.
    except Exception as error:
        raise InputError(
            f"{path} holds no scores of this package; name another file", argument="out"
        ) from error
