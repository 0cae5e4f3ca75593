"""The result of an adaptation."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from grmp_plugin.api.adapt_notes import verdict
from grmp_plugin.api.split_result import (
    STATISTICS,
    Difference,
    SplitResult,
    agreement_over_splits,
    difference_over_splits,
)
from grmp_plugin.api.trained import TrainedResult
from grmp_plugin.data.ratings import BadRow
from grmp_plugin.notes import Note
from grmp_plugin.run_record import RunRecord
from grmp_plugin.statistics.agreement import Agreement
from grmp_plugin.tables import Row

if TYPE_CHECKING:
    from grmp_plugin.network.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False, repr=False)
class Adaptation(TrainedResult):
    """An adapted model, and what the adaptation gained on ratings that were not learned from.

    The rows are one per split: its seed, the number of shots and test images, and SRCC, PLCC, KRCC and RMSE
    before and after. `predictions` has one row per test image.

    Attributes:
        run: What produced the result.
        splits: The outcome of each split.
        checkpoint: The adapted model; the first split's, if there are several.
        notes: What is worth knowing, such as an unlikely rating scale.
        skipped: Ratings that were not used, and why.
    """

    run: RunRecord
    splits: tuple[SplitResult, ...]
    checkpoint: "Checkpoint"
    notes: tuple[Note, ...] = ()
    skipped: tuple[BadRow, ...] = ()

    @cached_property
    def before(self) -> Agreement:
        """Agreement with the test ratings before adaptation; `MedianAgreement` of several splits."""
        return agreement_over_splits([split.before for split in self.splits])

    @cached_property
    def after(self) -> Agreement:
        """Agreement after adaptation, as `before`."""
        return agreement_over_splits([split.after for split in self.splits])

    @cached_property
    def difference(self) -> Difference:
        """SRCC after minus before; `MedianDifference` of several splits."""
        return difference_over_splits([split.difference for split in self.splits])

    @property
    def verdict(self) -> str:
        """What the shots changed, in one sentence."""
        return verdict(self.splits[0].shots, self.before.images, len(self.splits), self.difference)

    @property
    def predictions(self) -> list[Row]:
        """One row per test image and split: `seed`, `image`, `mos`, predicted MOS `before` and `after`."""
        return [{"seed": split.seed, **row} for split in self.splits for row in split.tested]

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns, one row per split."""
        compared = [f"{name}_{when}" for name in STATISTICS for when in ("before", "after")]
        return ("seed", "shots", "images", *compared, "srcc_difference", "srcc_low", "srcc_high")

    @property
    def rows(self) -> Sequence[Row]:
        """One mapping per split; `srcc_low` and `srcc_high` bound the 95% interval of the difference."""
        return [_row(split) for split in self.splits]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data: `run`, `before`, `after`, `difference` and `splits`."""
        return {
            "run": self.run.to_dict(),
            "before": self.before.as_dict(),
            "after": self.after.as_dict(),
            "difference": self.difference.as_dict(),
            "splits": [split.to_dict() for split in self.splits],
        }

    def _read_by_run(self) -> Iterable[str]:
        learned = (image for split in self.splits for image in split.learned_from)
        return [*super()._read_by_run(), *learned, *(row["image"] for row in self.predictions)]

    def __repr__(self) -> str:
        return f"<Adaptation of {self.run.details.get('model')}: {self.verdict}>"

    def _repr_html_(self) -> str:
        return f"{super()._repr_html_()}<p>{escape(self.verdict)}</p>"


def _row(split: SplitResult) -> Row:
    values: dict[str, Any] = {"seed": split.seed, "shots": split.shots, "images": split.before.images}
    for name in STATISTICS:
        values |= {f"{name}_before": getattr(split.before, name), f"{name}_after": getattr(split.after, name)}
    low, high = split.difference.srcc_interval
    values |= {"srcc_difference": split.difference.srcc, "srcc_low": low, "srcc_high": high}
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }
