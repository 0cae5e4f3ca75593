"""What `recover_mos` returns."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmp_plugin.api.result import Result
from grmp_plugin.run_record import RunRecord
from grmp_plugin.tables import Row, check_report_path, without_nan, write_text

if TYPE_CHECKING:
    from grmp_plugin.labelling.recovery import RaterFacts, Recovery

_COLUMNS = ("image", "mos", "std", "n", "low", "high")


@dataclass(frozen=True, eq=False)
class RecoveredMos(Result):
    """MOS of pictures, recovered from single ratings or pairs.

    Rows have the image, `mos` (of pairs: Bradley-Terry scores in logits), `std` between raters, `n` raters,
    and the ends `low` and `high` of the 95% interval; None where there is no value.

    Attributes:
        run: Record of the run.
        pairs: Whether pictures were compared in pairs.
        folder: Folder that the images' names are relative to.
        recovery: Everything that was found.
    """

    run: RunRecord
    pairs: bool
    folder: str
    recovery: "Recovery"

    @property
    def raters(self) -> "tuple[RaterFacts, ...]":
        """The raters: bias, consistency, correlation with the others, and who is left out and why."""
        return self.recovery.raters

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know and to do, in sentences."""
        return self.recovery.remarks

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        return _COLUMNS

    @property
    def rows(self) -> Sequence[Row]:
        """One row per picture, in the order of the file."""
        found = self.recovery
        values = zip(found.images, found.mos, found.std, found.n, found.low, found.high, strict=True)
        return [
            {
                "image": image,
                "mos": _value(mos),
                "std": _value(std),
                "n": int(n),
                "low": _value(low),
                "high": _value(high),
            }
            for image, mos, std, n, low, high in values
        ]

    def to_dict(self) -> dict[str, Any]:
        """`run`, `images`, `raters` and `remarks` as plain data."""
        return {
            "run": self.run.to_dict(),
            "images": [dict(row) for row in self.rows],
            "raters": [without_nan(asdict(rater)) for rater in self.raters],
            "remarks": list(self.remarks),
        }

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write an HTML page with raters, scores and pictures.

        Raises:
            InputError: For another extension than .html, or a folder that is missing or not writable.
            GRMPError: When the file cannot be written.
        """
        from grmp_plugin.report.ratings_page import ratings_report

        file = check_report_path(path, "path")
        write_text(file, ratings_report(self.to_dict(), pairs=self.pairs, folder=self.folder))
        return file


def _value(number: float) -> float | None:
    return None if math.isnan(number) else round(float(number), 4)
