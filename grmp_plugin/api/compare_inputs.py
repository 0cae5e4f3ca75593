"""What a comparison needs, from what a caller gives: ratings or images, references, metrics."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from grmp_plugin.api.ratings import DEMO, about_demo, as_ratings, notes_on_split_columns, refuse_options
from grmp_plugin.data.left_out import left_out_words
from grmp_plugin.data.paths import STDIN, find_paths
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import RatingsOptions
from grmp_plugin.data.ratings_sheets import TABLE_SUFFIXES, table_kind
from grmp_plugin.data.reference_files import find_references
from grmp_plugin.data.splits import rows_to_test
from grmp_plugin.errors import InputError
from grmp_plugin.notes import Note
from grmp_plugin.progress import ProgressCallback

if TYPE_CHECKING:
    import pandas

    from grmp_plugin.api.models import Model
    from grmp_plugin.evaluation.compare_scores import SubjectiveScores
    from grmp_plugin.evaluation.metric_names import FoundMetrics, MetricSpec

OnePath: TypeAlias = str | os.PathLike[str]
ImagesOrRatings: TypeAlias = "OnePath | Sequence[OnePath] | pandas.DataFrame | Ratings"
Metrics: TypeAlias = "Model | Sequence[Model]"


@dataclass(frozen=True)
class CompareInputs:
    """What is compared on which images.

    Attributes:
        images: N paths.
        references: N paths of reference images, None for images without one; None if there are none at all.
        ratings: Ratings of the N images; None if only images were given.
        subjective: The ratings, as `compare_scores` needs them.
        metrics: Which metrics.
        details: Facts for the run's record.
        notes: Remarks on the inputs.
    """

    images: tuple[str, ...]
    references: tuple[str | None, ...] | None
    ratings: Ratings | None
    subjective: "SubjectiveScores | None"
    metrics: "tuple[MetricSpec, ...]"
    details: Mapping[str, Any]
    notes: tuple[Note, ...]


def compare_inputs(
    images_or_ratings: ImagesOrRatings,
    metrics: Metrics,
    references: OnePath | None,
    raters: int | None,
    data_root: OnePath,
    report: ProgressCallback,
    options: RatingsOptions,
    *,
    split_column: str | None = None,
    include_learned: bool = False,
) -> CompareInputs:
    """Find everything that a comparison needs; see `grmp_plugin.api.compare.compare`."""
    if raters is not None and raters < 2:
        raise InputError(f"at least 2 people must have rated each image, not {raters}", argument="raters")
    ratings: Ratings | None = None
    notes: list[Note] = []
    left_out: Mapping[str, int] = {}
    if means_ratings(images_or_ratings):
        word = _only(images_or_ratings)
        ratings = as_ratings(word, data_root=data_root, report=report, **options)
        notes += notes_on_split_columns(ratings, split_column)
        if split_column is not None:
            ratings = ratings.subset(rows_to_test(ratings, split_column))
        if isinstance(word, str) and word == DEMO:
            notes.append(about_demo())
        images = ratings.images
    else:
        refuse_options(
            {**options, "raters": raters, "split_column": split_column, "include_learned": include_learned},
            "applies to ratings, and these are images",
        )
        found_paths = find_paths(_paths(images_or_ratings))
        images = tuple(found_paths.paths)
        left_out = found_paths.left_out
        notes += [Note(line) for line in left_out_words(left_out)]
    found_references = None
    if references is not None:
        names = None if ratings is None else ratings.reference_names
        skip = bool(options.get("skip_bad"))
        found_references = find_references(
            images,
            references,
            names,
            skip_missing=skip,
            nameable=ratings is not None and bool(ratings.hints("reference_column")),
        )
    subjective = None
    if ratings is not None:
        subjective, remarks = subjective_scores(ratings, raters)
        notes += remarks
    found = resolve_metrics(metrics, references=references is not None)
    notes += _about_left_out(found)
    details: dict[str, Any] = {
        "images_from": _described(images_or_ratings),
        "references_from": None if references is None else os.fspath(references),
    }
    if left_out:
        details["left_out"] = dict(left_out)
    if ratings is not None:
        details["ratings"] = _ratings_details(ratings, options, raters, split_column)
    return CompareInputs(images, found_references, ratings, subjective, found.metrics, details, tuple(notes))


def means_ratings(images_or_ratings: Any) -> bool:
    """Whether a caller means ratings: an object that holds them, a ratings file, a data set, or the demo."""
    if not isinstance(images_or_ratings, str | os.PathLike | list | tuple):
        return True
    words = _paths(images_or_ratings)
    if not words:
        return False
    word = words[0]
    if Path(word).suffix.lower() in TABLE_SUFFIXES or table_kind(word) is not None:
        return True
    if word == STDIN or Path(word).exists() or any(mark in word for mark in "*?["):
        return False
    # With a suffix or a folder, it is the path of an image that is missing, as its row will say.
    return not (Path(word).suffix or os.sep in word)


def resolve_metrics(metrics: Metrics, *, references: bool) -> "FoundMetrics":
    """The metrics that a caller means: names, groups, wildcards, checkpoint files, or networks in memory.

    Args:
        metrics: As for `compare`.
        references: Whether there are reference images.

    Raises:
        InputError: As for `find_metrics`.
    """
    from grmp_plugin.evaluation.metric_names import find_metrics

    given: list[Any]
    if isinstance(metrics, str):
        given = [word.strip() for word in metrics.split(",") if word.strip()]
    else:
        given = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
    taken = {os.fspath(one) for one in given if isinstance(one, str | os.PathLike)}
    wanted: list[str | MetricSpec] = []
    for one in given:
        if isinstance(one, str | os.PathLike):
            wanted.append(os.fspath(one))
        else:
            spec = _in_memory(one, taken)
            taken.add(spec.name)
            wanted.append(spec)
    return find_metrics(wanted, references=references)


def subjective_scores(ratings: Ratings, raters: int | None) -> "tuple[SubjectiveScores, list[Note]]":
    """Ratings with the standard errors of the MOS where they are known, and remarks if they are not.

    Args:
        ratings: N rated images.
        raters: Number of people who rated each image, in place of the ratings' own numbers.

    Raises:
        InputError: For a number of raters without standard deviations.
    """
    from grmp_plugin.evaluation.compare_scores import SubjectiveScores

    errors, notes = None, []
    counts = np.full(len(ratings.images), float(raters)) if raters is not None else ratings.raters
    if ratings.deviations is not None and counts is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = ratings.deviations / np.sqrt(counts)
        if not np.isfinite(errors).all():
            notes.append(
                Note("pairs of images are not analysed: some deviations or numbers of raters are missing")
            )
            errors = None
    elif ratings.deviations is not None:
        notes.append(
            Note("pairs of images are not analysed: the number of raters is unknown", see=("raters",))
        )
    elif raters is not None:
        raise InputError(
            "applies to ratings with standard deviations, and there are none",
            argument="raters",
            see=ratings.hints("deviation_column"),
        )
    return SubjectiveScores(ratings.mos, ratings.lower_better, ratings.references, errors), notes


def _only(images_or_ratings: Any) -> Any:
    """The one source of ratings."""
    if not isinstance(images_or_ratings, list | tuple):
        return images_or_ratings
    if len(images_or_ratings) > 1:
        raise InputError(
            f"{os.fspath(images_or_ratings[0])}: compare on one ratings file or data set at a time, without "
            "images beside it"
        )
    return os.fspath(images_or_ratings[0])


def _paths(images: Any) -> list[str]:
    given = [images] if isinstance(images, str | os.PathLike) else list(images)
    for one in given:
        if not isinstance(one, str | os.PathLike):
            raise InputError(f"expected paths of image files, found {type(one).__name__}")
    return [os.fsdecode(one) for one in given]


def _in_memory(model: Any, taken: set[str]) -> "MetricSpec":
    """A network in memory as a metric: a result is named by its kind, such as `adaptation`."""
    from grmp_plugin.api.models import HasCheckpoint
    from grmp_plugin.evaluation.metric_names import MetricSpec
    from grmp_plugin.network.checkpoint import Checkpoint
    from grmp_plugin.network.grmp_iqa import GRMPIQA

    network = model.checkpoint if isinstance(model, HasCheckpoint) else model
    if not isinstance(network, Checkpoint | GRMPIQA):
        kind = type(model).__name__
        raise InputError(f"expected names, checkpoint files or networks, found {kind}", argument="metrics")
    name = "network"
    if isinstance(model, HasCheckpoint):
        name = type(model).__name__.lower()
    elif isinstance(model, Checkpoint) and Path(model.source).is_file():
        name = model.source
    return MetricSpec(_unique(name, taken), own=True, network=network)


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    return unique


def _about_left_out(found: "FoundMetrics") -> list[Note]:
    if not found.left_out:
        return []
    from grmp_plugin.evaluation.metric_names import NEEDS_REFERENCES

    reasons = sorted({reason for _, reason in found.left_out})
    count = len(found.left_out)
    metrics = "1 metric is" if count == 1 else f"{count} metrics are"
    see = ("references",) if NEEDS_REFERENCES in reasons else ()
    return [Note(f"{metrics} left out: {'; '.join(reasons)}", see)]


def _described(images_or_ratings: Any) -> str:
    if isinstance(images_or_ratings, Ratings):
        return images_or_ratings.source
    if isinstance(images_or_ratings, str | os.PathLike | list | tuple):
        return " ".join(_paths(images_or_ratings))
    return "data frame"


def _ratings_details(
    ratings: Ratings, options: RatingsOptions, raters: int | None, split_column: str | None
) -> dict[str, Any]:
    """Everything that determines the ratings."""
    groups = None if ratings.references is None else len(set(ratings.references))
    columns = ("image_column", "mos_column", "reference_column", "deviation_column", "raters_column")
    return {
        "source": ratings.source,
        "sha256": ratings.digest(),
        "images": len(ratings.images),
        "left_out": sum(not row.repeated for row in ratings.skipped),
        "lower_better": ratings.lower_better,
        "resampled": "images" if groups is None else f"{groups} references, by {ratings.references_source}",
        "raters": raters,
        "split_column": split_column,
        **{name: options.get(name) for name in (*columns, "mos_range")},
        "raw": bool(options.get("raw")),
    }
