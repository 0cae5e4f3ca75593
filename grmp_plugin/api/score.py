"""Scoring images: `score` for a whole run at once, `Scoring` for rows as they come.

Importing this module does not import torch: a command that is given a wrong path says so at once.
"""

import math
import statistics
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from grmp_plugin.api.images import FoundImages, Images, find_images
from grmp_plugin.api.scores import Scores
from grmp_plugin.config import from_dict
from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT
from grmp_plugin.data.ratings import DECLARED, MosScale
from grmp_plugin.errors import CheckpointError, ConfigError, InputError
from grmp_plugin.progress import Progress, ProgressCallback, progress_callback
from grmp_plugin.run_record import RunRecord, Stopwatch

if TYPE_CHECKING:
    from grmp_plugin.api.models import LoadedModel, Model
    from grmp_plugin.evaluation.scoring import ImageScore

SCALES = ("quality", "mos")


def score(
    images: Images,
    model: "Model" = "grmp_iqa-tiny",
    *,
    scale: str = "quality",
    mos_range: tuple[float, float] | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    recursive: bool = True,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    progress: bool | ProgressCallback = False,
) -> Scores:
    """Score the quality of images.

    Args:
        images: Image files, folders, glob patterns, arrays (H, W, 3) uint8 RGB, Pillow images, or a list of
            these.
        model: A model name, a checkpoint file, or what `adapt` or `pretrain` returned.
        scale: `quality`: 0 (bad) to 1 (good). `mos`: predicted MOS, on the scale of the ratings that the
            model was adapted to.
        mos_range: For `mos`: low and high end of the scale, in place of the model's own; the model's
            direction is kept.
        device: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `auto` (fp16 on CUDA, fp32 elsewhere), `fp32`, `bf16` or `fp16`.
        batch_size: Most images per batch; 4 on a CPU and 16 elsewhere by default. Scores do not depend on it.
        recursive: Search folders inside folders as well.
        pixel_limit: Largest width x height that is decoded.
        progress: True for a progress bar, or a function to call with each `Progress`.

    Returns:
        One row per image, in input order. An image that cannot be read has a row with the reason; files of
        kinds that are not read, and quality maps of an earlier run, are counted in `left_out`.

    Raises:
        InputError: When there are no images or models of that name, or an argument cannot be used.
        CheckpointError, WeightsUnavailableError: When the model cannot be loaded.
        GRMPError: When a batch does not fit into the device's memory.
    """
    scoring = Scoring(
        find_images(images, recursive=recursive),
        model,
        scale=scale,
        mos_range=mos_range,
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
        model, scale, mos_range, device, precision, batch_size, pixel_limit: As for `score`, which lists the
            errors, too.
    """

    def __init__(
        self,
        images: FoundImages,
        model: "Model" = "grmp_iqa-tiny",
        *,
        scale: str = "quality",
        mos_range: tuple[float, float] | None = None,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    ) -> None:
        _check_arguments(scale, mos_range, batch_size, pixel_limit)
        from grmp_plugin.api.models import load_model
        from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions, pick_device

        options = ScoringOptions(device, precision, batch_size, pixel_limit)
        pick_device(device)  # before anything is downloaded in vain
        self._images = images.sources
        self._left_out = images.left_out
        self._model = load_model(model)
        self._scale = mos_scale(self._model, mos_range) if scale == "mos" else None
        self._scorer = Scorer(self._model.network, options)
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
                self._done.append(self._on_scale(result))
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
            run=self._record(summary),
            results=tuple(self._done),
            median=median,
            best=best,
            worst=worst,
            failed=failed,
            left_out=self._left_out,
            mos_scale=self._scale,
            _sources={source.name: source for source in self._images[: self.done]},
            _scorer=self._scorer,
        )

    def _badness(self, row: "ImageScore") -> float:
        low_is_good = self._scale is not None and self._scale.lower_better
        return _value(row) if low_is_good else -_value(row)

    def _on_scale(self, result: "ImageScore") -> "ImageScore":
        if result.score is None or self._scale is None:
            return result
        return replace(result, score=float(self._scale.to_mos(result.score)))

    def _record(self, summary: Mapping[str, Any]) -> RunRecord:
        config = self._scorer.network.config
        details = {
            "model": self._model.name,
            "weights_sha256": self._model.weights_sha256,
            "backbone": config.backbone.name,
            "precision": self._scorer.precision,
            "preprocess": asdict(config.preprocess),
            "scale": "quality" if self._scale is None else asdict(self._scale),
            **summary,
        }
        device, seconds = str(self._scorer.device), self._watch.seconds
        return RunRecord("score", self._watch.date, device, seed=None, seconds=seconds, details=details)


def mos_scale(model: "LoadedModel", mos_range: tuple[float, float] | None) -> MosScale:
    """The scale of predicted MOS: as declared, or as the checkpoint records it.

    Args:
        model: The direction of its ratings holds for a declared range, too.
        mos_range: Low and high end, where declared.

    Raises:
        InputError: When the range is none, or there is neither.
    """
    known = _recorded_scale(model)
    if mos_range is not None:
        try:
            return MosScale(*mos_range, lower_better=bool(known and known.lower_better), source=DECLARED)
        except ConfigError as error:
            raise InputError(error.message, argument="mos_range") from error
    if known is None:
        raise InputError(
            f"{model.name} does not record the scale of its ratings, so it cannot predict MOS. Either it was "
            "not adapted to ratings, or by pyiqa.train, which does not record the scale",
            see=("mos_range",),
        )
    return known


def _recorded_scale(model: "LoadedModel") -> MosScale | None:
    recorded = model.network.info.get("mos_scale")
    try:
        return None if recorded is None else from_dict(MosScale, recorded, f"{model.name}: mos_scale")
    except ConfigError as error:
        raise CheckpointError(error.message) from error


def _check_arguments(
    scale: str, mos_range: tuple[float, float] | None, batch_size: int | None, pixel_limit: int
) -> None:
    if scale not in SCALES:
        raise InputError(f"'{scale}' is none of {', '.join(SCALES)}", argument="scale")
    if mos_range is not None and scale != "mos":
        raise InputError(
            "applies to predicted MOS only, not to quality", argument="mos_range", see=("scale",)
        )
    for name, value in (("batch_size", batch_size), ("pixel_limit", pixel_limit)):
        if value is not None and value < 1:
            raise InputError(f"must be at least 1, not {value}", argument=name)


def _value(row: "ImageScore") -> float:
    return math.nan if row.score is None else row.score


def _extreme(row: "ImageScore") -> dict[str, Any]:
    return {"image": row.image, "score": row.score}
