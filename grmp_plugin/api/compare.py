"""Compare metrics: with people's ratings, or on images alone with each other.

Importing this module does not import torch: mistakes in paths and ratings are reported at once.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from grmp_plugin.api.compare_inputs import (
    CompareInputs,
    ImagesOrRatings,
    Metrics,
    OnePath,
    compare_inputs,
    resolve_metrics,
)
from grmp_plugin.api.compare_learned import check_left, learned_details, notes_on_learned
from grmp_plugin.api.compare_rows import (
    comparison_document,
    image_columns,
    image_rows,
    metric_columns,
    metric_rows,
)
from grmp_plugin.api.keywords import takes_ratings_options
from grmp_plugin.api.result import Result
from grmp_plugin.data.learned_images import original_files
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import RatingsOptions
from grmp_plugin.errors import InputError
from grmp_plugin.files import DATA_ROOT
from grmp_plugin.notes import Note
from grmp_plugin.printable import counted
from grmp_plugin.progress import ProgressCallback, progress_callback
from grmp_plugin.run_record import RunRecord, Stopwatch
from grmp_plugin.tables import check_folder_path, without_nan, write_text

if TYPE_CHECKING:
    from grmp_plugin.evaluation.comparison import Comparison
    from grmp_plugin.evaluation.map_files import MapFile
    from grmp_plugin.evaluation.metric_names import MetricSpec
    from grmp_plugin.evaluation.metric_scores import ScoreTable
    from grmp_plugin.evaluation.metrics import Metrics as MetricFactory

_SEED = 0


class ComparisonInterrupted(KeyboardInterrupt):
    """Ctrl-C during a comparison whose scores so far are kept: the same call continues from there."""


@takes_ratings_options
def compare(
    images_or_ratings: ImagesOrRatings,
    metrics: Metrics = "offline",
    *,
    references: OnePath | None = None,
    raters: int | None = None,
    split_column: str | None = None,
    include_learned: bool = False,
    device: str = "auto",
    jobs: int = 1,
    data_root: OnePath = DATA_ROOT,
    progress: bool | ProgressCallback = False,
    **options: Unpack[RatingsOptions],
) -> "ComparisonResult":
    """Compare metrics with people's ratings or, on images alone, with each other.

    All metrics are judged on the same images. A metric that fails is left out with the reason, and does not
    affect the others. Scores are kept in the user's cache, so that a second comparison is fast.

    With ratings, no metric is judged on images that one of this package's models learned from, nor on other
    versions of their originals: a model would look better than it is. What pyiqa's metrics learned from is
    not known.

    Args:
        images_or_ratings: Ratings: a CSV file, a data frame, what `read_ratings` returned, the name of one
            of pyiqa's data sets, or `demo`. Or images: files, folders, glob patterns, or a list of these.
        metrics: Names of pyiqa's metrics or of this package's models, checkpoint files, what `adapt` or
            `pretrain` returned, wildcards such as `*ssim*`, or the groups `offline` (no download needed),
            `nr` (no-reference) and `fr` (full-reference); a list, or names separated by commas.
        references: Reference images for full-reference metrics: a folder, in which they are found by name,
            or one file, the reference of all images.
        raters: Number of people who rated each image. With the standard deviations of the ratings, it allows
            the analysis of pairs by Krasula et al.
        split_column: Column that says `train` or `test`; the metrics are judged on the test rows.
        include_learned: Whether to judge on images that a model learned from, too.
        device: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda`, `cuda:1` or `mps`.
        jobs: Processes for pyiqa's metrics, on the CPU with one thread each. A script needs the usual
            `if __name__ == "__main__":` then.
        data_root: Folder of pyiqa's data sets, also where they are downloaded to.
        progress: True for a progress bar, or a function to call with each `Progress`.
        **options: How to read the ratings; see `RatingsOptions`. With `skip_bad`, images without a reference
            are left out, too.

    Returns:
        One row per metric, the best first and failed ones last. If no metric works, all rows have errors.

    Raises:
        InputError: When there are no such ratings, images, references or metrics, an argument cannot be
            used, or too few images are left that no metric learned from.
        CheckpointError: When a checkpoint's record of what it learned from is damaged.
        DataUnavailableError: When a data set would have to be downloaded and cannot be.
        ComparisonInterrupted: After Ctrl-C, where the scores so far are kept.
    """
    if jobs < 1:
        raise InputError(f"must be at least 1, not {jobs}", argument="jobs")
    watch = Stopwatch()
    report = progress_callback(progress)
    inputs = compare_inputs(
        images_or_ratings,
        metrics,
        references,
        raters,
        data_root,
        report,
        options,
        split_column=split_column,
        include_learned=include_learned,
    )
    from grmp_plugin.evaluation.compare_scores import compare_scores
    from grmp_plugin.evaluation.judging import learned_by_metrics, learned_images
    from grmp_plugin.evaluation.metrics import Metrics as MetricFactory

    factory = MetricFactory(device)
    if jobs > 1 and factory.device.type != "cpu":
        raise InputError(f"several processes need the CPU, not {factory.device}", argument="jobs")
    learned = {} if inputs.subjective is None else learned_by_metrics(inputs.metrics)
    scores, cache_notes = _score(inputs, factory, report, recognise=bool(learned), jobs=jobs)
    groups = None if inputs.subjective is None else inputs.subjective.groups
    comparison = compare_scores(
        inputs.images,
        scores,
        inputs.subjective,
        seed=_SEED,
        learned_by=() if scores.pixels is None else learned_images(learned, scores.pixels, groups),
        include_learned=include_learned,
    )
    check_left(comparison)
    details = {**inputs.details, **learned_details(comparison)}
    run = RunRecord("compare", watch.date, str(factory.device), _SEED, watch.seconds, details)
    return ComparisonResult(
        run=run,
        comparison=dataclasses.replace(comparison, run=run.to_dict()),
        ratings=inputs.ratings,
        notes=(
            *inputs.notes,
            *cache_notes,
            *notes_on_learned(comparison),
            *_notes_on(comparison, inputs.ratings),
        ),
        _metrics=inputs.metrics,
        _read=_files_of(inputs),
    )


def check_maps(metrics: Metrics, references: OnePath | None = None) -> None:
    """Check that a comparison can draw quality maps, before any work is done.

    Args:
        metrics: As for `compare`.
        references: As for `compare`.

    Raises:
        InputError: When none of the metrics is a model of this package.
    """
    found = resolve_metrics(metrics, references=references is not None).metrics
    if not any(metric.own for metric in found):
        raise InputError("only this package's models draw quality maps; add one", argument="metrics")


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonResult(Result):
    """Metrics side by side, with the record of the run.

    Attributes:
        run: What produced the numbers.
        comparison: All numbers: scores, agreement with MOS, agreement between metrics, disputed images.
        ratings: The ratings; None if images alone were compared.
        notes: Remarks, such as metrics that were left out or that correlate negatively with the ratings.
    """

    run: RunRecord
    comparison: "Comparison"
    ratings: Ratings | None
    notes: tuple[Note, ...]
    _metrics: "tuple[MetricSpec, ...]"
    _read: tuple[str, ...]

    def _read_by_run(self) -> Iterable[str]:
        return self._read

    @property
    def columns(self) -> Sequence[str]:
        """`metric`, its facts, statistics with their intervals, and `error`."""
        return metric_columns(self.comparison)

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One mapping per metric, the best first and failed ones last."""
        return metric_rows(self.comparison)

    def to_dict(self) -> dict[str, Any]:
        """`run`, `metrics`, `pairs` and `disputed`, as `grmp compare --format json` prints them."""
        document: dict[str, Any] = without_nan(comparison_document(self.comparison))
        return document

    def image_scores(self) -> "ImageScores":
        """The score of each image by each metric."""
        return ImageScores(self.run, self.comparison, self._read)

    @property
    def left_out_images(self) -> list[tuple[str, str]]:
        """(image, reason) of images on which no metric is judged, so that all are judged on the same.

        Without those that a metric learned from, which a note counts.
        """
        comparison = self.comparison
        found = list(zip(comparison.images, comparison.errors, strict=True))
        for number in sorted(comparison.working()):
            metric = comparison.metrics[number]
            found += [
                (image, reason and f"{metric.metric}: {reason}")
                for image, reason in zip(comparison.images, metric.errors, strict=True)
            ]
        return [(image, reason) for image, reason in found if reason is not None]

    @property
    def failure(self) -> str | None:
        """Why nothing could be compared; None if anything could."""
        if not self.comparison.working():
            return "no metric worked"
        return None if self.comparison.judged.any() else "there is no image to judge metrics on"

    @property
    def complete(self) -> bool:
        """Whether all metrics worked on all images, and all rows of the ratings could be used.

        Images that are left out because a metric learned from them do not count.
        """
        skipped = () if self.ratings is None else self.ratings.skipped
        return (
            all(metric.error is None for metric in self.comparison.metrics)
            and bool((self.comparison.judged | self.comparison.left_out()).all())
            and all(row.repeated for row in skipped)
        )

    def draw_maps(self, folder: OnePath, *, progress: bool | ProgressCallback = False) -> "list[MapFile]":
        """Save a quality map of each image: where in the image the model sees low quality.

        The first of this package's models that worked draws them.

        Args:
            folder: Where to save the maps as PNG files; created if it does not exist.
            progress: True for a progress bar, or a function to call with each `Progress`.

        Returns:
            One entry per readable image, in order, for `report`; none if no model of this package worked.

        Raises:
            InputError: When the folder cannot be created or written to, or a map would replace an image.
        """
        from grmp_plugin.data.sources import FileImage
        from grmp_plugin.evaluation.map_files import draw_maps
        from grmp_plugin.evaluation.metrics import Metrics as MetricFactory

        place = check_folder_path(folder, "folder")
        scored = zip(self._metrics, self.comparison.metrics, strict=True)
        spec = next((spec for spec, scores in scored if spec.own and scores.error is None), None)
        if spec is None:
            return []
        network = MetricFactory(self.run.device).scorer(spec).network
        readable = zip(self.comparison.images, self.comparison.errors, strict=True)
        images = [FileImage(image) for image, error in readable if error is None]
        return draw_maps(network, images, place, progress_callback(progress))

    def report(self, path: OnePath, *, maps: "Sequence[MapFile]" = ()) -> Path:
        """Write one self-contained HTML page: table, charts, best, worst and most disputed images.

        Args:
            path: An .html file.
            maps: What `draw_maps` returned, to be shown beside the images.

        Raises:
            InputError: For another extension, a file that the run read, or a folder that is missing or not
                writable.
            GRMPError: When the file cannot be written.
        """
        from grmp_plugin.report import comparison_report

        file = self._report_file(path)
        drawn = {one.image: one.path for one in maps if one.path is not None}
        write_text(file, comparison_report(self.comparison, maps=drawn))
        return file

    def __repr__(self) -> str:
        images = f"{int(self.comparison.judged.sum())} of {len(self.comparison.images)} images"
        return f"<ComparisonResult of {len(self)} metrics on {images}>"


@dataclass(frozen=True, eq=False, repr=False)
class ImageScores(Result):
    """The score of each image by each metric, unchanged.

    Attributes:
        run: What produced the scores.
        comparison: The comparison that they are of.
    """

    run: RunRecord
    comparison: "Comparison"
    _read: tuple[str, ...]

    def _read_by_run(self) -> Iterable[str]:
        return self._read

    @property
    def columns(self) -> Sequence[str]:
        """`image`, `mos` if there are ratings, one column per metric, `judged`, `learned_by` and `error`."""
        return image_columns(self.comparison)

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One mapping per image, in input order."""
        return image_rows(self.comparison)

    def to_dict(self) -> dict[str, Any]:
        """`run` and `images`."""
        return {"run": self.run.to_dict(), "images": self.rows}

    def __repr__(self) -> str:
        metrics = counted(len(self.comparison.metrics), "metric")
        return f"<ImageScores of {counted(len(self), 'image')} by {metrics}>"


def _score(
    inputs: CompareInputs, factory: "MetricFactory", report: ProgressCallback, *, recognise: bool, jobs: int
) -> "tuple[ScoreTable, list[Note]]":
    from grmp_plugin.evaluation.metric_scores import score_images
    from grmp_plugin.evaluation.score_cache import ScoreCache

    originals = None
    if recognise and inputs.ratings is not None:
        originals = inputs.references or original_files(inputs.ratings)
    cache = ScoreCache()
    try:
        scores = score_images(
            inputs.images, inputs.references, inputs.metrics, factory, cache, report, originals, jobs
        )
    except KeyboardInterrupt as interruption:
        if cache.problem is None:
            raise ComparisonInterrupted from interruption
        raise
    finally:
        cache.close()
    return scores, [] if cache.problem is None else [Note(cache.problem)]


def _files_of(inputs: CompareInputs) -> tuple[str, ...]:
    """All files that a comparison reads; names that are no files may be among them."""
    references = [path for path in inputs.references or () if path is not None]
    source = () if inputs.ratings is None else (inputs.ratings.source,)
    metrics = [getattr(metric.network, "source", metric.name) for metric in inputs.metrics]
    return (*source, *inputs.images, *references, *metrics)


def _notes_on(comparison: "Comparison", ratings: Ratings | None) -> list[Note]:
    """What is unusual about metrics, and why some failed."""
    notes = []
    for number in comparison.working():
        name, agreement = comparison.metrics[number].metric, comparison.agreement_of(number)
        if agreement is None:
            continue
        if agreement.remark:
            notes.append(Note(f"{name}: {agreement.remark}"))
        if agreement.srcc_interval.high < 0:
            better = "lower" if comparison.mos_lower_better else "higher"
            text = (
                f"{name} correlates negatively with the ratings; do {better} ones really mean better quality?"
            )
            notes.append(Note(text, see=() if ratings is None else ratings.hints("lower_better")))
    for metric in comparison.metrics:
        if metric.error is not None:
            notes.append(Note(f"{metric.metric} is left out: {metric.error}"))
    return notes
