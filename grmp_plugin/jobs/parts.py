"""The files of one shard of a job: parts that are complete, and a journal of the rows since the last one.

Rows go to the journal as they come, and many at a time from there into a part. The journal of part N is
removed when part N has its name: whatever moment a run is killed at, each row is in one place or is counted
once, and no reader of the folder ever sees it twice.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from grmp_plugin.errors import InputError
from grmp_plugin.files import sync_folder
from grmp_plugin.jobs.rows import (
    DamagedPartError,
    Finished,
    JobRow,
    journal_line,
    read_journal,
    read_part,
    write_part,
)
from grmp_plugin.shard import Shard

ROWS_PER_PART = 10_000
SECONDS_PER_PART = 600.0
_SYNC_SECONDS = 5.0  # at most this much is lost with the machine; a process that is killed loses no row


class Parts:
    """Parts and journal of one shard in a folder.

    Args:
        folder: Exists.
        shard: Which one.
    """

    def __init__(self, folder: Path, shard: Shard) -> None:
        # Now, not with the first part: what a job needs is loaded before its long work.
        import pyarrow.parquet  # noqa: F401

        self.folder = folder
        self._of = of_names(shard)
        self._journal: BinaryIO | None = None
        self._rows = 0
        self._opened = self._synced = 0.0
        self._number = 0

    def paths(self) -> list[Path]:
        """The parts, in order."""
        return sorted(self.folder.glob(f"part-{self._of}-*.parquet"))

    def recover(self) -> list[Path]:
        """Put what a killed run left behind in order.

        Returns:
            Parts that were damaged, and are removed.

        Raises:
            InputError: When something else is called as a journal is.
        """
        journals = sorted(self.folder.glob(f"_journal-{self._of}-*.jsonl"))
        leftovers = list(self.folder.glob(f".part-{self._of}-*.tmp"))
        for path in (*journals, *leftovers):
            if path.is_dir() or not re.fullmatch(r".*-[0-9]{6,9}\.(parquet\.tmp|jsonl)", path.name):
                raise _foreign(path, "out")
        for leftover in leftovers:
            leftover.unlink()
        damaged = []
        for path in self.paths():
            try:
                read_part(path)
            except DamagedPartError:
                damaged.append(path)
                path.unlink()
        for journal in journals:
            if not self._part(_number(journal)).exists():
                self._write(_number(journal), journal)
            journal.unlink()
        sync_folder(self.folder)
        numbers = [_number(path) for path in [*self.paths(), *damaged]]
        self._number = max(numbers, default=-1) + 1
        return damaged

    def entries(self) -> Iterator[JobRow | Finished]:
        """All rows of the parts, and which shards of images are finished."""
        for path in self.paths():
            rows, finished = read_part(path)
            yield from rows
            yield from finished

    def drop(self, is_stale: Callable[[JobRow | Finished], bool]) -> None:
        """Rewrite the parts without some of their entries."""
        for path in self.paths():
            rows, finished = read_part(path)
            kept = [row for row in rows if not is_stale(row)]
            going_on = [one for one in finished if not is_stale(one)]
            if len(kept) + len(going_on) < len(rows) + len(finished):
                write_part(path, [*kept, *going_on])

    def add(self, entry: JobRow | Finished) -> None:
        """Keep an entry: in the journal at once, in a part some time later."""
        now = time.monotonic()
        if self._journal is None:
            # Unbuffered: what is written is the system's, and survives the end of this process.
            self._journal = open(self._journal_path(self._number), "wb", buffering=0)  # noqa: SIM115
            self._rows, self._opened, self._synced = 0, now, now
        self._journal.write(journal_line(entry))
        self._rows += 1
        if now - self._synced >= _SYNC_SECONDS:
            os.fsync(self._journal.fileno())
            self._synced = now
        if self._rows >= ROWS_PER_PART or now - self._opened >= SECONDS_PER_PART:
            self.close()

    def close(self) -> None:
        """Turn the journal into a part."""
        if self._journal is None:
            return
        self._journal.close()
        self._journal = None
        path = self._journal_path(self._number)
        self._write(self._number, path)
        path.unlink()
        self._number += 1

    def _write(self, number: int, journal: Path) -> None:
        entries = read_journal(journal)
        first = next(entries, None)
        if first is not None:
            write_part(self._part(number), chain([first], entries))

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{self._of}-{number:06d}.parquet"

    def _journal_path(self, number: int) -> Path:
        return self.folder / f"_journal-{self._of}-{number:06d}.jsonl"


def check_part_names(folder: Path, shards: int, argument: str) -> None:
    """Check that all parts in a folder are of one job: readers take whatever is called so for its rows.

    Args:
        folder: The job's.
        shards: How many shards it has.
        argument: Name of the argument that gave the folder, for messages.

    Raises:
        InputError: For the first one that is not.
    """
    for path in sorted(folder.glob("part-*.parquet")):
        found = re.fullmatch(r"part-([0-9]{5,6})-of-([0-9]{5,6})-[0-9]{6,9}\.parquet", path.name)
        if found is None or int(found[1]) >= shards or int(found[2]) != shards or path.is_dir():
            raise _foreign(path, argument)


def _foreign(path: Path, argument: str) -> InputError:
    return InputError(
        f"{path} is not a file of this job; move it out of the folder, and try again", argument=argument
    )


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def of_names(shard: Shard) -> str:
    """A shard in the names of its files."""
    return f"{shard.number:05d}-of-{shard.count:05d}"
