"""What is worth knowing about an adaptation: its verdict in a sentence, and whatever looks odd."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from grmp_plugin.api.ratings import notes_on_split_columns
from grmp_plugin.api.split_result import (
    Difference,
    SplitResult,
    agreement_over_splits,
    difference_over_splits,
)
from grmp_plugin.data.ratings import SHOTS_RANGE, Ratings
from grmp_plugin.notes import Note
from grmp_plugin.printable import counted
from grmp_plugin.statistics.agreement import Agreement
from grmp_plugin.training.choice import LEAST_TO_CHOOSE
from grmp_plugin.training.settings import AdaptSettings

# How a model was adapted, in words.
_METHODS = {
    "start": "the model as it was",
    "ridge": "ridge regression on its features",
    "prompts": "gradient steps",
    "prompts+ridge": "gradient steps and ridge regression",
}
_NARROW = 0.25  # share of a declared scale below which the ratings seem to be on another scale
_NEGATIVE = -0.3  # SRCC below which the direction of the ratings seems to be wrong


def describe(rated: Ratings, start: str) -> str:
    """What is adapted to what, in one sentence.

    Args:
        rated: The ratings.
        start: Name of the model to adapt.
    """
    groups = "; taken as independent, as there is no column of references"
    if rated.references is not None:
        groups = f" of {len(set(rated.references))} references ({rated.references_source})"
    return f"{rated.source}: {len(rated.images)} rated images{groups}. Adapting {start}"


def notes_on_copies(copies: int, splits: int) -> list[Note]:
    """What to say of test images that have the pixels of a shot.

    Args:
        copies: Their number, the largest of all splits.
        splits: Number of splits.
    """
    if not copies:
        return []
    images = "1 image" if copies == 1 else f"{copies} images"
    most = "" if splits == 1 else "up to "
    return [Note(f"not tested: {most}{images} with the same pixels as a shot")]


def notes_before(rated: Ratings, settings: AdaptSettings, split_column: str | None) -> list[Note]:
    """What is worth knowing before training."""
    notes = notes_on_split_columns(rated, split_column)
    if rated.mos_range is not None:
        low, high = rated.mos_range
        if np.ptp(rated.mos) < _NARROW * (high - low):
            notes.append(
                Note(
                    f"the ratings cover only part of the scale of {low:g} to {high:g}: they run from "
                    f"{rated.mos.min():.4g} to {rated.mos.max():.4g}",
                    see=rated.hints("mos_range"),
                )
            )
    if settings.protocol == "released":
        notes.append(
            Note(
                "protocol released chooses the best epoch on the test ratings, as the authors' released code "
                "does, so its numbers are optimistic",
                see=("protocol",),
            )
        )
    if settings.split_by == "image" and rated.references is not None:
        notes.append(
            Note(
                "versions of one original are both shots and test images, as in the authors' released code, "
                "which makes the test easier",
                see=("split_by",),
            )
        )
    return notes


def notes_on_learned(images: int, start: str, included: bool) -> list[Note]:
    """What is worth knowing about images that the start learned from.

    Args:
        images: How many there are.
        start: Name of the model to adapt.
        included: Whether they are used.
    """
    if not images:
        return []
    if included:
        return [
            Note(
                f"{images} rated images are used although {start} learned from them or from other versions "
                "of their originals: the numbers before and after are too good"
            )
        ]
    learned = f"{images} rated images, as {start} learned from them or from other versions of their originals"
    return [Note(f"left out: {learned}", see=("include_learned",))]


def verdict(shots: int, tested: int, splits: int, difference: Difference) -> str:
    """What the shots changed, in one sentence.

    Args:
        shots: Number of shots.
        tested: Number of test images.
        splits: Number of splits.
        difference: SRCC after minus before.
    """
    if not tested:
        return f"learned from all {shots} ratings, so none is left to test on"
    if math.isnan(difference.srcc):
        return "the difference of SRCC is undefined: all predictions or all ratings are equal"
    change = f"{shots} ratings changed SRCC by {difference.srcc:+.3f}"
    low, high = difference.srcc_interval
    if math.isnan(low):
        return (
            f"{change}; there are too few {'independent images' if splits == 1 else 'splits'} for an interval"
        )
    meaning = "not significant"
    if low > 0:
        meaning = "a significant gain"
    elif high < 0:
        meaning = "a significant loss; keep the model as it was"
    return f"{change} (95% interval {low:+.3f} to {high:+.3f}): {meaning}"


def notes_after(splits: Sequence[SplitResult], rated: Ratings) -> list[Note]:
    """What is worth knowing about the result.

    Args:
        splits: The outcome of each split.
        rated: The ratings.
    """
    return [
        *_about_choice(splits),
        *_about_training(splits, difference_over_splits([split.difference for split in splits])),
        *_about_direction(agreement_over_splits([split.before for split in splits]), rated),
        *_about_steps(splits),
        *_about_scale(splits, rated),
    ]


def _about_choice(splits: Sequence[SplitResult]) -> list[Note]:
    notes = []
    first = splits[0]
    if first.tried:
        chosen = Counter(_METHODS[split.method] for split in splits).most_common()
        times = [name if len(splits) == 1 else f"{name} ({count} of {len(splits)})" for name, count in chosen]
        notes.append(Note(f"chosen by cross-validation inside the shots: {', '.join(times)}"))
    elif first.method == "start":
        notes.append(
            Note(
                f"{first.shots} shots are too few to show that a change helps: the model was kept as it was. "
                f"From {LEAST_TO_CHOOSE} shots on, or with a given method, it is adapted",
                see=("method",),
            )
        )
    if first.interval is not None:
        coverage = float(np.mean([split.coverage for split in splits]))
        held = "" if math.isnan(coverage) else f"; it holds {coverage:.0%} of the test ratings"
        notes.append(
            Note(
                f"{first.interval.level:.0%} interval of predicted MOS, from shots that were left out: "
                f"±{first.interval.half_width:.3g}{held}"
            )
        )
    return notes


def _about_training(splits: Sequence[SplitResult], difference: Difference) -> list[Note]:
    if math.isnan(difference.srcc):
        return []
    notes, first = [], splits[0]
    if len(splits) == 1 and not math.isnan(difference.srcc_interval.low):
        notes.append(
            Note(
                "the interval covers the choice of test images only; several splits show how much the choice "
                "of shots matters",
                see=("splits",),
            )
        )
    if not (math.isnan(first.shots_srcc_before) or math.isnan(first.shots_srcc_after)):
        details = (
            f"SRCC on the shots themselves: {first.shots_srcc_before:.3f} before, "
            f"{first.shots_srcc_after:.3f} after"
        )
        if not math.isnan(first.angle):
            details += (
                f"; mean angle of the gradients {first.angle:.1f}°, "
                f"{first.projected:.0%} of the tensors projected"
            )
        moved = f"; parameters moved by {first.moved:.2%}" if "prompts" in first.method else ""
        notes.append(Note(details + moved))
    return notes


def _about_direction(before: Agreement, rated: Ratings) -> list[Note]:
    if not before.srcc < _NEGATIVE:
        return []
    return [
        Note(
            "before adaptation, the scores correlate negatively with the ratings, of which "
            f"{'low' if rated.lower_better else 'high'} ones count as good",
            see=rated.hints("lower_better"),
        )
    ]


def _about_steps(splits: Sequence[SplitResult]) -> list[Note]:
    notes = []
    if splits[0].best_epoch is not None:
        epochs = ", ".join(str(split.best_epoch) for split in splits)
        notes.append(
            Note(f"best epoch on the test images: {epochs} (0: none was better than the model as it was)")
        )
    if skipped := sum(split.skipped_steps for split in splits):
        notes.append(
            Note(f"{skipped} steps were skipped, as gradients were not finite; use a smaller learning rate")
        )
    if ignored := sum(split.not_finite_gradients for split in splits):
        notes.append(
            Note(f"{ignored} semantic gradients were not finite; the quality gradients were used unchanged")
        )
    return notes


def _about_scale(splits: Sequence[SplitResult], rated: Ratings) -> list[Note]:
    scale = splits[0].mos_scale
    # The released protocol does not take a declared scale.
    undeclared = scale.source == SHOTS_RANGE and splits[0].best_epoch is None
    declare = rated.hints("mos_range") if undeclared else ()
    notes = [Note(f"MOS scale {scale.low:.4g} to {scale.high:.4g} ({scale.source})", see=declare)]
    # More than the width of the scale beyond either end.
    low, high = 2 * scale.low - scale.high, 2 * scale.high - scale.low
    far = [row for split in splits for row in split.tested if not low <= row["mos"] <= high]
    if far:
        notes.append(
            Note(
                f"{counted(len(far), 'test rating')} far outside the scale, such as {far[0]['mos']:g} of "
                f"{far[0]['image']}: possibly typos"
                + (". With a declared range, such rows are rejected" if declare else ""),
                see=declare,
            )
        )
    return notes
