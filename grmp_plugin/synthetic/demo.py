"""Ratings that need no download: distorted drawn scenes, rated by the simulated observer.

No training uses these scenes: distortion tasks use seeds from 2**32 to 2**33, the demo those from 2**33 on.
The files are created once and kept in the user's cache, where they can be inspected.
"""

import csv
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from grmp_plugin.config import SCENES
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.errors import InputError
from grmp_plugin.files import atomic_write, user_cache
from grmp_plugin.synthetic.distortions import distort
from grmp_plugin.synthetic.observer import GRADES, Observer
from grmp_plugin.synthetic.scenes import draw_scene
from grmp_plugin.synthetic.tasks import LEVELS

NAME = "demo"
# Increase with any change of pictures or ratings; each version has its own folder.
_VERSION = 2
_FIRST_SEED = 2**33
_SIDE = 288  # pixels

PICTURES = 90
VERSIONS = 8
"""Versions of each picture; the first one is pristine."""

# As from one camera or codec: a few kinds of fault at many levels. Fifty ratings cannot tell an observer's
# taste in thirty kinds.
_KINDS = ("lens_blur", "white_noise", "jpeg", "darken", "saturation_decrease", "over_sharpening")


def demo_ratings(
    folder: str | os.PathLike[str] | None = None, on_picture: Callable[[int, int], None] | None = None
) -> Ratings:
    """Return the demo's ratings, drawing its images first if they do not exist yet.

    Args:
        folder: Folder for the images; by default one in the user's cache.
        on_picture: Called with the number of pictures drawn so far and their total.

    Returns:
        720 images on a scale of 1 to 5, each with its pristine picture as the reference.

    Raises:
        InputError: The folder is not writable.
    """
    root = Path(folder) if folder is not None else default_folder()
    table = root / "ratings.csv"
    if not table.exists():
        try:
            _make(root, table, on_picture)
        except OSError as error:
            raise InputError(
                f"the demo's images cannot be written to {root}: {error.strerror or error}. Set "
                "XDG_CACHE_HOME to a writable folder"
            ) from error
    ratings = read_ratings(table, mos_range=GRADES, reference_column="reference")
    return dataclasses.replace(ratings, source=NAME, adjustable=frozenset())


def default_folder() -> Path:
    """The folder in the user's cache that holds the demo's images."""
    return user_cache() / f"{NAME}-{_VERSION}"


def _make(root: Path, table: Path, on_picture: Callable[[int, int], None] | None) -> None:
    root.mkdir(parents=True, exist_ok=True)
    observer = Observer()
    rows = []
    for number in range(PICTURES):
        scene = SCENES[number % len(SCENES)]
        name = f"{scene}_{number:02d}"
        rng = np.random.default_rng([_VERSION, number])
        pristine = draw_scene(scene, _FIRST_SEED + number, _SIDE, _SIDE)
        faults = [(kind, level) for kind in _KINDS for level in LEVELS]
        chosen = rng.choice(len(faults), VERSIONS - 1, replace=False)
        for kind, level in ((None, 0), *(faults[at] for at in chosen)):
            image = distort(pristine, kind, level, seed=number) if kind else pristine
            file = f"{name}_{kind}_{level}.png" if kind else f"{name}.png"
            with atomic_write(root / file) as temporary:
                Image.fromarray(image).save(temporary, "PNG", compress_level=1)
            rows.append((file, f"{observer.mos(name, kind, level):.4f}", name))
        if on_picture is not None:
            on_picture(number + 1, PICTURES)
    # Written last: if it exists, all images do.
    with atomic_write(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "mos", "reference"))
        writer.writerows(rows)
