"""Quality maps of many images, as PNG files in a folder."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT
from grmp_plugin.data.map_mark import MAP_SUFFIX, map_mark
from grmp_plugin.data.sources import ImageSource
from grmp_plugin.errors import GRMPError, ImageError
from grmp_plugin.evaluation.overlay import overlay
from grmp_plugin.evaluation.quality_map import quality_map
from grmp_plugin.files import atomic_write
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.progress import Progress, ProgressCallback
from grmp_plugin.tables import check_no_inputs


@dataclass(frozen=True)
class MapFile:
    """The quality map of one image, or the reason why it has none.

    Attributes:
        image: Path or name of the image.
        path: The map; None where `error` says why there is none.
        error: None where there is a map.
    """

    image: str
    path: Path | None
    error: str | None = None


def draw_maps(
    network: GRMPIQA,
    images: Sequence[ImageSource],
    folder: Path,
    report: ProgressCallback,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
) -> list[MapFile]:
    """Draw the quality map of each image over the image, and save it as a PNG.

    Args:
        network: In evaluation mode, on any device in any precision.
        images: What to draw.
        folder: Where to save the maps; created if it does not exist.
        report: Called after each map.
        pixel_limit: Largest width x height that is decoded.

    Returns:
        One entry per image, in order.

    Raises:
        InputError: When a map would replace one of the images.
        GRMPError: When a map cannot be written.
    """
    drawn: list[MapFile] = []
    names = _file_names([source.name for source in images])
    # Links are replaced by maps, what they lead to is not.
    places = [folder / name for name in names if not (folder / name).is_symlink()]
    check_no_inputs(places, (source.name for source in images), "folder", "folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, name in zip(images, names, strict=True):
            try:
                pixels = source.read(pixel_limit)
            except ImageError as error:
                drawn.append(MapFile(source.name, None, str(error)))
            else:
                drawing = overlay(pixels, quality_map(network, pixels))
                # A link in the folder may lead anywhere, to an image even: it is replaced.
                with atomic_write(folder / name, through_links=False) as temporary:
                    drawing.save(temporary, pnginfo=map_mark())
                drawn.append(MapFile(source.name, folder / name))
            report(Progress("drawing maps", len(drawn), len(images)))
    except OSError as error:
        raise GRMPError(f"{folder}: {error.strerror or error}") from error
    return drawn


def _file_names(images: Sequence[str]) -> list[str]:
    """A file name for each image: its own, with a number where another has the same."""
    taken: set[str] = set()
    names = []
    for image in images:
        stem = Path(image).stem
        candidates = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        # Some file systems ignore case.
        name = next(candidate for candidate in candidates if candidate.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name + MAP_SUFFIX)
    return names
