"""Quality maps as pictures in a folder."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grmp_plugin.errors import GRMPError, ImageError

from .output import note

if TYPE_CHECKING:
    from grmp_plugin.evaluation.scoring import Scorer

_SUFFIX = ".map.png"


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


def without_maps(images: list[str], folder: Path | None) -> list[str]:
    """The images without those that an earlier run has left in the folder of maps."""
    if folder is None:
        return images
    place = folder.resolve()
    kept = [i for i in images if not (i.endswith(_SUFFIX) and Path(i).resolve().is_relative_to(place))]
    if len(kept) < len(images):
        note(f"{len(images) - len(kept)} maps in {folder} are not taken for images")
    return kept


def _names(images: Sequence[str]) -> list[str]:
    """A file name for each: that of the image, with a number where another is called alike."""
    taken: set[str] = set()
    names = []
    for image in images:
        stem = Path(image).stem
        candidates = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        # Capitals do not count everywhere.
        name = next(candidate for candidate in candidates if candidate.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name + _SUFFIX)
    return names
