"""For `grmp compare`, until it calls the library itself; to be removed with its last use."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import note

if TYPE_CHECKING:
    from grmp_plugin.evaluation.scoring import Scorer


def draw_maps(scorer: "Scorer", images: Sequence[str], folder: Path) -> dict[str, Any]:
    """Use `grmp_plugin.evaluation.map_files.draw_maps`."""
    from grmp_plugin.data.sources import FileImage
    from grmp_plugin.evaluation.map_files import draw_maps as draw

    drawn = draw(scorer.network, [FileImage(image) for image in images], folder, lambda progress: None)
    for one in drawn:
        if one.error is not None:
            note(f"{one.image}: no map: {one.error}")
    return {one.image: one.path for one in drawn if one.path is not None}


def without_maps(images: list[str], folder: Path | None) -> list[str]:
    """Use `grmp_plugin.evaluation.map_files.without_maps`."""
    from grmp_plugin.data.sources import FileImage
    from grmp_plugin.evaluation.map_files import without_maps as without

    if folder is None:
        return images
    kept = [source.name for source in without([FileImage(image) for image in images], folder)]
    if len(kept) < len(images):
        note(f"{len(images) - len(kept)} quality maps in {folder} are not scored")
    return kept
