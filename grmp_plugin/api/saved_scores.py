"""Scores that a job wrote, and how far its shards are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmp_plugin.printable import counted
from grmp_plugin.run_record import RunRecord

if TYPE_CHECKING:
    import pandas

    from grmp_plugin.jobs.folder import ShardState


@dataclass(frozen=True, repr=False)
class SavedScores:
    """Scores in a folder of Parquet parts, or in one Parquet file.

    Attributes:
        path: The folder or file.
        run: What produced them; for a file that was complete before, what this call would have used.
        images: Rows of this shard of the job.
        failed: How many of these have no score.
        scored: How many of them were scored in this run.
        changed: Files and shards of images that have changed since an earlier run, or could not be read then
            for a reason that may have passed, and were tried again.
        damaged: Parts of an earlier run that could not be read, and were done again.
        left_out: Number of files that the search for images left out, by kind.
    """

    path: Path
    run: RunRecord
    images: int
    failed: int
    scored: int
    changed: int
    damaged: tuple[str, ...]
    left_out: Mapping[str, int]

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows of all shards: `image`, `score` and `error`; in a folder `source` and `version`, too.

        `source` is the archive or table that holds an image, `version` what the file was when it was scored.
        """
        import pyarrow.dataset

        from grmp_plugin.jobs.rows import part_schema

        if self.path.is_file():
            return pyarrow.dataset.dataset(self.path).to_table().to_pandas()
        return pyarrow.dataset.dataset(self.path, part_schema(), format="parquet").to_table().to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """The record of the run as plain data."""
        return {"path": str(self.path), "run": self.run.to_dict()}

    def __len__(self) -> int:
        return self.images

    def __repr__(self) -> str:
        return f"<Scores of {counted(self.images, 'image')} in {self.path}: {self.failed} failed>"


def shards(folder: str | os.PathLike[str]) -> "list[ShardState]":
    """How far each shard of a job is; every part is read and checked.

    Args:
        folder: What `score` was given as `out`.

    Returns:
        One entry per shard: `complete`, `not complete`, `not started`, or `damaged` where a part cannot be
        read or is missing.

    Raises:
        InputError: When the folder is not that of a job.
    """
    from grmp_plugin.jobs.folder import shard_states

    return shard_states(Path(folder))
