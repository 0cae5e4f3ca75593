"""Scoring images: `score` for a whole run at once, `Scoring` for rows as they come.

Importing this module does not import torch: a command that is given a wrong path says so at once.
"""

import math
import os
import statistics
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, overload

from grmp_plugin.api.images import FoundImages, Images, find_images
from grmp_plugin.api.judge import Judge
from grmp_plugin.api.saved_scores import SavedScores
from grmp_plugin.api.scores import Scores
from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT
from grmp_plugin.data.places import is_address
from grmp_plugin.data.units import needs_units
from grmp_plugin.errors import InputError
from grmp_plugin.progress import Progress, ProgressCallback, progress_callback
from grmp_plugin.run_record import Stopwatch

if TYPE_CHECKING:
    from grmp_plugin.api.models import Model
    from grmp_plugin.evaluation.scoring import ImageScore


@overload
def score(
    images: Images,
    model: "Model" = ...,
    *,
    out: None = ...,
    scale: str = ...,
    mos_range: tuple[float, float] | None = ...,
    interval: bool = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    recursive: bool = ...,
    pixel_limit: int = ...,
    progress: bool | ProgressCallback = ...,
) -> Scores: ...


@overload
def score(
    images: Images,
    model: "Model" = ...,
    *,
    out: str | os.PathLike[str],
    resume: bool = ...,
    shard: tuple[int, int] = ...,
    check: str = ...,
    image_column: str | None = ...,
    engine: str = ...,
    ray_address: str | None = ...,
    workers: int | None = ...,
    scale: str = ...,
    mos_range: tuple[float, float] | None = ...,
    device: str = ...,
    precision: str = ...,
    batch_size: int | None = ...,
    recursive: bool = ...,
    pixel_limit: int = ...,
    progress: bool | ProgressCallback = ...,
) -> SavedScores: ...


def score(
    images: Images,
    model: "Model" = "grmp_iqa-tiny",
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    shard: tuple[int, int] = (0, 1),
    check: str = "time",
    image_column: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    workers: int | None = None,
    scale: str = "quality",
    mos_range: tuple[float, float] | None = None,
    interval: bool = False,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    recursive: bool = True,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    progress: bool | ProgressCallback = False,
) -> Scores | SavedScores:
    """Score the quality of images.

    Args:
        images: Image files, folders, glob patterns, arrays (H, W, 3) uint8 RGB, Pillow images, or a list of
            these. With `out` also addresses that fsspec opens (`s3://...`), tar archives as WebDataset writes
            them, Parquet files with images, and lists of paths (.txt, .csv, .parquet).
        model: A model name, a checkpoint file, or what `adapt` or `pretrain` returned.
        out: Write the rows as they come: into a folder of Parquet parts, or into one .parquet file. What is
            done survives whatever ends the run.
        resume: With `out`: go on with a run that was started before.
        shard: With `out`: number of this shard, from 0, and how many there are; all write into one folder.
        check: With `out`: how `resume` knows a file that has changed, by size and `time`, or by `digest`.
        image_column: With `out`: column of the images in CSV and Parquet files, if it has no usual name.
        engine: With `out`: `local`, or `ray` for a pool of workers on Ray. There `device` is `cpu` (also for
            `auto`), or `cuda` for one GPU per worker.
        ray_address: For `ray`: address of a cluster, as `ray.init` takes it; None starts Ray on this machine.
        workers: For `ray`: number of workers; one per CPU, or per GPU, by default.
        scale: `quality`: 0 (bad) to 1 (good). `mos`: predicted MOS, on the scale of the ratings that the
            model was adapted to.
        mos_range: For `mos`: low and high end of the scale, in place of the model's own; the model's
            direction is kept.
        interval: For `mos`: rows get `low` and `high`, between which nine of ten new ratings should lie, for
            images like those that the model was adapted to. Not with `out`.
        device: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `auto` (fp16 on CUDA, fp32 elsewhere), `fp32`, `bf16` or `fp16`.
        batch_size: Most images per batch; 4 on a CPU and 16 elsewhere by default. Scores do not depend on it.
        recursive: Search folders inside folders as well.
        pixel_limit: Largest width x height that is decoded.
        progress: True for a progress bar, or a function to call with each `Progress`.

    Returns:
        One row per image, in input order. An image that cannot be read has a row with the reason; files of
        kinds that are not read, and quality maps of an earlier run, are counted in `left_out`. With `out`,
        where the rows are.

    Raises:
        InputError: When there are no images or models of that name, an argument cannot be used, or `out` was
            started before and `resume` is not set.
        CheckpointError, WeightsUnavailableError: When the model cannot be loaded.
        GRMPError: When a batch does not fit into the device's memory, or a file cannot be written.
    """
    if out is not None:
        if interval:
            raise InputError("not for scores that are written as they come", argument="interval")
        from grmp_plugin.api.score_job import ScoreJob

        job = ScoreJob(
            images,
            out,
            model,
            resume=resume,
            shard=shard,
            check=check,
            image_column=image_column,
            engine=engine,
            ray_address=ray_address,
            workers=workers,
            recursive=recursive,
            scale=scale,
            mos_range=mos_range,
            device=device,
            precision=precision,
            batch_size=batch_size,
            pixel_limit=pixel_limit,
        )
        return job.run(progress)
    _check_without_out(
        resume=resume, shard=shard != (0, 1), image_column=image_column, engine=engine != "local"
    )
    scoring = Scoring(
        find_images(images, recursive=recursive),
        model,
        scale=scale,
        mos_range=mos_range,
        interval=interval,
        device=device,
        precision=precision,
        batch_size=batch_size,
        pixel_limit=pixel_limit,
    )
    with closing(scoring.rows(progress)) as rows:
        for _ in rows:
            pass
    return scoring.scores()


class Scoring:
    """A run of `score` that yields each row as soon as it is there.

    Args:
        images: From `find_images`.
        model, scale, mos_range, interval, device, precision, batch_size, pixel_limit: As for `score`, which
            lists the errors, too.
    """

    def __init__(
        self,
        images: FoundImages,
        model: "Model" = "grmp_iqa-tiny",
        *,
        scale: str = "quality",
        mos_range: tuple[float, float] | None = None,
        interval: bool = False,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    ) -> None:
        _check_images(images)
        self._judge = Judge(
            model,
            scale=scale,
            mos_range=mos_range,
            interval=interval,
            device=device,
            precision=precision,
            batch_size=batch_size,
            pixel_limit=pixel_limit,
        )
        self._images = images.sources
        self._left_out = images.left_out
        self._scale = self._judge.scale
        self._scorer = self._judge.scorer
        self._done: list[ImageScore] = []
        self._watch = Stopwatch()

    @property
    def total(self) -> int:
        """How many images there are."""
        return len(self._images)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of files that the search for images left out, by kind."""
        return self._left_out

    @property
    def done(self) -> int:
        """How many images have their row."""
        return len(self._done)

    def rows(self, progress: bool | ProgressCallback = False) -> "Generator[ImageScore, None, None]":
        """Score the images in order; call it once, and close the generator to stop early.

        Args:
            progress: True for a progress bar, or a function to call with each `Progress`.
        """
        report = progress_callback(progress)
        # Closed in any case, so that no thread works on after an error.
        with closing(self._scorer.score(self._images)) as results:
            for result in results:
                self._done.append(self._judge.on_scale(result))
                report(Progress("scoring", self.done, self.total))
                yield self._done[-1]

    def scores(self) -> Scores:
        """The result of the rows so far; its run is marked as interrupted where rows are missing."""
        scored = [row for row in self._done if row.score is not None]
        median = statistics.median(_value(row) for row in scored) if scored else None
        best = min(scored, key=self._badness, default=None)
        worst = max(scored, key=self._badness, default=None)
        failed = self.done - len(scored)
        summary: dict[str, Any] = {"images": self.done, "failed": failed}
        if best is not None and worst is not None:
            summary |= {"median": median, "best": _extreme(best), "worst": _extreme(worst)}
        if self._left_out:
            summary["left_out"] = dict(self._left_out)
        if self.done < self.total:
            summary["interrupted"] = True
        return Scores(
            run=self._judge.record(self._watch, summary),
            results=tuple(self._done),
            median=median,
            best=best,
            worst=worst,
            failed=failed,
            left_out=self._left_out,
            mos_scale=self._scale,
            interval=self._judge.interval,
            _sources={source.name: source for source in self._images[: self.done]},
            _scorer=self._scorer,
        )

    def _badness(self, row: "ImageScore") -> float:
        low_is_good = self._scale is not None and self._scale.lower_better
        return _value(row) if low_is_good else -_value(row)


def _check_without_out(**given: object) -> None:
    for name, value in given.items():
        if value:
            raise InputError("only for scores that are written as they come", argument=name)


def _check_images(images: FoundImages) -> None:
    """Refuse what would only give rows that are no images; beside images (`photos/*`) such rows stay."""
    if all(needs_units(image.name) for image in images.sources):
        first = images.sources[0].name
        if not is_address(first) and not os.path.exists(first):
            raise InputError(f"'{first}': no such file", argument="images")
        raise InputError(
            f"'{first}' is not an image. Scores of lists, archives and addresses are written into a folder",
            see=("out",),
        )


def _value(row: "ImageScore") -> float:
    return math.nan if row.score is None else row.score


def _extreme(row: "ImageScore") -> dict[str, Any]:
    return {"image": row.image, "score": row.score}
