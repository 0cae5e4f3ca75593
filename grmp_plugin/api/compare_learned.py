"""What a comparison does about images that a metric learned from: count, say, refuse."""

from typing import TYPE_CHECKING, Any

from grmp_plugin.errors import InputError
from grmp_plugin.notes import Note
from grmp_plugin.statistics.bootstrap import MIN_IMAGES

if TYPE_CHECKING:
    from grmp_plugin.evaluation.comparison import Comparison


def check_left(comparison: "Comparison") -> None:
    """Check that enough images are left that no metric learned from.

    Raises:
        InputError: When fewer are left than confidence intervals need.
    """
    left_out, left = int(comparison.left_out().sum()), int(comparison.judged.sum())
    if left_out and left < MIN_IMAGES:
        raise InputError(
            f"{left} of {len(comparison.images)} images are left to judge the metrics on, too few (at least "
            f"{MIN_IMAGES}): {left_out} are left out, as {_learners(comparison)} learned from them or from "
            "other versions of their originals. Use ratings of other images",
            see=("include_learned",),
        )


def notes_on_learned(comparison: "Comparison") -> list[Note]:
    """What is worth knowing about images that a metric learned from."""
    count = comparison.learned_images()
    if not count:
        return []
    images = f"{count} of {len(comparison.images)} images"
    why = f"{_learners(comparison)} learned from them or from other versions of their originals"
    if comparison.include_learned:
        return [Note(f"judged also on {images} although {why}: the comparison flatters such metrics")]
    return [Note(f"left out: {images}, as {why}", see=("include_learned",))]


def learned_details(comparison: "Comparison") -> dict[str, Any]:
    """Facts for the run's record; none without ratings."""
    if comparison.mos is None:
        return {}
    return {
        "learned_images": {
            "images": comparison.learned_images(),
            "judged": comparison.include_learned,
            "by": comparison.learners(),
        }
    }


def _learners(comparison: "Comparison") -> str:
    names = list(comparison.learners())
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
