"""The result of `score`: one row per image, and what to do with them."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.api.result import Result
from grmp_plugin.data.ratings import MosScale
from grmp_plugin.data.sources import ImageSource
from grmp_plugin.data.walk import natural_key
from grmp_plugin.errors import InputError
from grmp_plugin.printable import counted
from grmp_plugin.progress import ProgressCallback, progress_callback
from grmp_plugin.run_record import RunRecord
from grmp_plugin.tables import Row, check_folder_path, write_text
from grmp_plugin.training.interval import PredictionInterval

if TYPE_CHECKING:
    from grmp_plugin.evaluation.map_files import MapFile
    from grmp_plugin.evaluation.scoring import ImageScore, Scorer

ORDERS = ("input", "name", "best", "worst")


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Result):
    """Scores of images, with the record of the run.

    Attributes:
        run: What produced the scores.
        results: One entry per image.
        median: Median score; None where no image has one.
        best: The image of the best quality; None where no image has a score.
        worst: The image of the worst quality; None where no image has a score.
        failed: Number of images without a score.
        left_out: Number of files that the search for images left out, by kind, such as `{"HEIC": 3}`.
        mos_scale: The scale of predicted MOS; None for quality from 0 to 1.
        interval: How far predicted MOS is off, where it was asked for; rows then have `low` and `high`.
    """

    run: RunRecord
    results: "tuple[ImageScore, ...]"
    median: float | None
    best: "ImageScore | None"
    worst: "ImageScore | None"
    failed: int
    left_out: Mapping[str, int]
    mos_scale: MosScale | None
    interval: PredictionInterval | None
    _sources: Mapping[str, ImageSource]
    _scorer: "Scorer"

    @property
    def columns(self) -> Sequence[str]:
        """`image`, `score` and `error`, and with an interval `low` and `high`."""
        return ("image", "score", *(() if self.interval is None else ("low", "high")), "error")

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One mapping per image; `score` is None where `error` says why."""
        return [
            {"image": row.image, "score": row.score, **self._bounds(row.score), "error": row.error}
            for row in self.results
        ]

    def _bounds(self, mos: float | None) -> Row:
        """The interval of a predicted MOS, within the scale."""
        if self.interval is None or self.mos_scale is None:
            return {}
        if mos is None:
            return {"low": None, "high": None}
        scale, half = self.mos_scale, self.interval.half_width
        return {"low": max(scale.low, mos - half), "high": min(scale.high, mos + half)}

    @property
    def images(self) -> tuple[str, ...]:
        """Paths or names of the N images."""
        return tuple(row.image for row in self.results)

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N,) scores; nan where an image has none."""
        return np.array([math.nan if row.score is None else row.score for row in self.results], np.float64)

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.run.details["model"])

    @property
    def precision(self) -> str:
        """Precision of the computation, such as `fp32`."""
        return str(self.run.details["precision"])

    def to_dict(self) -> dict[str, Any]:
        """`run` and `images`, as `grmp score --format json` prints them."""
        return {"run": self.run.to_dict(), "images": self.rows}

    def _read_by_run(self) -> Iterable[str]:
        return (*self._sources, self.model)

    def sorted(self, order: str) -> "Scores":
        """The same scores in another order.

        Args:
            order: `input` leaves the order as it is; `name` is natural order (`img2` before `img10`); `best`
                and `worst` put that quality first and images without a score last.

        Raises:
            InputError: For another word.
        """
        if order not in ORDERS:
            raise InputError(f"'{order}' is none of {', '.join(ORDERS)}", argument="order")
        if order == "input":
            return self
        if order == "name":
            return replace(self, results=tuple(sorted(self.results, key=lambda row: natural_key(row.image))))
        low_first = (self.mos_scale is not None and self.mos_scale.lower_better) == (order == "best")
        sign = 1 if low_first else -1
        by_score = sorted(self.results, key=lambda row: (row.score is None, sign * (row.score or 0)))
        return replace(self, results=tuple(by_score))

    def draw_maps(
        self, folder: str | os.PathLike[str], *, progress: bool | ProgressCallback = False
    ) -> "list[MapFile]":
        """Save a quality map of each scored image: where in the image the model sees low quality.

        Args:
            folder: Where to save the maps as PNG files; created if it does not exist.
            progress: True for a progress bar, or a function to call with each `Progress`.

        Returns:
            One entry per scored image, in the order of the rows; see `report`.

        Raises:
            InputError: When the folder cannot be created or written to, or a map would replace an image.
        """
        from grmp_plugin.evaluation.map_files import draw_maps

        place = check_folder_path(folder, "folder")
        scored = [self._sources[row.image] for row in self.results if row.score is not None]
        limit = self._scorer.options.pixel_limit
        return draw_maps(self._scorer.network, scored, place, progress_callback(progress), limit)

    def report(self, path: str | os.PathLike[str], *, maps: "Sequence[MapFile]" = ()) -> Path:
        """Write one self-contained HTML page: summary, distribution, best and worst images, all scores.

        The page shows small copies of the best and worst images, which are read again for it; an image that
        can no longer be read is shown as the reason why.

        Args:
            path: An .html file.
            maps: What `draw_maps` returned, to be shown beside the images.

        Raises:
            InputError: For another extension, a file that the run read, or a folder that is missing or not
                writable.
            GRMPError: When the file cannot be written.
        """
        from grmp_plugin.report import scores_report

        file = self._report_file(path)
        drawn = {one.image: one.path for one in maps if one.path is not None}
        write_text(file, scores_report(self.to_dict(), maps=drawn, sources=self._sources))
        return file

    def __repr__(self) -> str:
        median = "" if self.median is None else f", median {self.median:.4f}"
        return f"<Scores of {counted(len(self), 'image')} by {self.model}: {self.failed} failed{median}>"
