"""Quality maps as pictures in a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmp_plugin.errors import GRMPError, ImageError

from .output import note

if TYPE_CHECKING:
    from grmp_plugin.evaluation.scoring import Scorer


def draw_maps(scorer: "Scorer", images: Sequence[str], folder: Path) -> dict[str, Any]:
    """Draw a map of each image, lay it over the image, and save it as a PNG in a folder.

    Args:
        scorer: a network made ready.
        images: paths; what cannot be read is said and left out.
        folder: made where it is not there.

    Returns:
        The pictures by the images' paths.

    Raises:
        GRMPError: when the folder cannot be written to.
    """
    from grmp_plugin.data.images import read_image
    from grmp_plugin.evaluation.overlay import overlay
    from grmp_plugin.evaluation.quality_map import quality_map

    drawn: dict[str, Any] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for image, name in zip(images, _names(images), strict=True):
            try:
                pixels = read_image(image)
            except ImageError as problem:
                note(f"{image}: no map: {problem}")
                continue
            drawn[image] = overlay(pixels, quality_map(scorer.network, pixels))
            drawn[image].save(folder / name)
    except OSError as problem:
        raise GRMPError(f"--maps {folder}: {problem.strerror or problem}") from problem
    return drawn


def _names(images: Sequence[str]) -> list[str]:
    """A file name for each: that of the image, with numbers where several are called alike."""
    used: dict[str, int] = {}
    names = []
    for image in images:
        stem = Path(image).stem
        used[stem] = used.get(stem, 0) + 1
        names.append(f"{stem}.map.png" if used[stem] == 1 else f"{stem}-{used[stem]}.map.png")
    return names
