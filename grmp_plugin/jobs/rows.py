"""Rows of a job, and their files: a journal line by line, and Parquet parts."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from grmp_plugin.files import durable_write
from grmp_plugin.tables import without_nan, writing

if TYPE_CHECKING:
    import pyarrow

UNREAD = "unread"
"""Version of what could not be read for a reason that may pass: it differs from any other."""

_SHOWN = ("image", "score", "error")
_FINISHED = b"finished"  # key in the metadata of a part


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


def plain_text(name: str) -> str:
    """A name as Parquet can hold it: bytes that are not UTF-8 as `\\udcXX`, so that names stay distinct."""
    return name.encode("utf-8", "backslashreplace").decode()


def write_part(path: Path, rows: Sequence[JobRow], finished: Iterable[Finished]) -> None:
    """Write a part; it has its name only when it is complete."""
    import pyarrow
    import pyarrow.parquet

    schema = part_schema().with_metadata({_FINISHED: json.dumps(list(finished))})
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    arrays = [pyarrow.array(list(one), field.type) for one, field in zip(columns, schema, strict=True)]
    with durable_write(path) as temporary:
        # Checksums, so that damage inside a page is found.
        pyarrow.parquet.write_table(pyarrow.table(arrays, schema=schema), temporary, write_page_checksum=True)


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
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(columns=list(JobRow._fields))
            metadata: Mapping[bytes, bytes] = file.schema_arrow.metadata or {}
            finished = [Finished(*one) for one in json.loads(metadata[_FINISHED])]
        values = [table.column(name).to_pylist() for name in JobRow._fields]
        return [JobRow(*row) for row in zip(*values, strict=True)], finished
    except Exception as error:  # whatever is raised, the part is not as it was written
        raise DamagedPartError(f"{path}: {error}") from error


def journal_line(entry: JobRow | Finished) -> bytes:
    """One line of a journal."""
    return (json.dumps(entry) + "\n").encode("ascii")


def read_journal(path: Path) -> Iterator[JobRow | Finished]:
    """Entries of a journal up to the first line that is damaged or incomplete."""
    with open(path, "rb") as file, suppress(ValueError, TypeError):
        for line in file:
            values: Any = json.loads(line)
            if not line.endswith(b"\n"):
                return
            yield Finished(*values) if len(values) == len(Finished._fields) else JobRow(*values)


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
