"""What a comparison left out, and what else is unusual about it, on stderr."""

from typing import TYPE_CHECKING

from .errors import note_text
from .output import note
from .ratings import list_skipped

if TYPE_CHECKING:
    from grmp_plugin.api.compare import ComparisonResult

_LISTED = 5  # images


def print_notes(result: "ComparisonResult") -> None:
    """Print notes, images and rows of the ratings that were left out."""
    for remark in result.notes:
        note(note_text(remark))
    images = result.left_out_images
    if images:
        note("no metric is judged on these images, so that all are judged on the same:")
    for image, reason in images[:_LISTED]:
        note(f"  {image}: {reason}")
    if len(images) > _LISTED:
        note(f"  and {len(images) - _LISTED} more; --scores FILE lists them all")
    if result.ratings is not None and result.ratings.skipped:
        list_skipped(result.ratings.skipped)
