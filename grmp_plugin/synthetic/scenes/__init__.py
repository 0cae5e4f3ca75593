"""Nine kinds of drawn scenes that replace photographs where none are available.

Each picture counts as pristine: sharp where in focus, well exposed, free of artefacts. With photographs the
scenes share low-level statistics (spectra near 1/f, occlusion edges, gradients, textures).
"""

from collections.abc import Callable

import numpy as np

from grmp_plugin.config import SCENES
from grmp_plugin.errors import InputError

from .animal import draw_animal
from .canvas import Canvas, Light
from .cityscape import draw_cityscape
from .finish import develop
from .human import draw_human
from .indoor import draw_indoor
from .landscape import draw_landscape
from .night import draw_night
from .noise import Rng
from .others import draw_others
from .plant import draw_plant
from .still_life import draw_still_life

__all__ = ["SCENES", "draw_scene"]

SMALLEST_SIDE = 32

_ARTISTS: dict[str, Callable[[Canvas, Rng], None]] = {
    "animal": draw_animal,
    "cityscape": draw_cityscape,
    "human": draw_human,
    "indoor": draw_indoor,
    "landscape": draw_landscape,
    "night": draw_night,
    "plant": draw_plant,
    "still_life": draw_still_life,
    "others": draw_others,
}


def draw_scene(kind: str, seed: int, height: int = 384, width: int = 384) -> np.ndarray:
    """Draw one picture; the same arguments always give the same bytes.

    Args:
        kind: One of `SCENES`.
        seed: Seed for the picture, 0 or more.
        height: Rows in pixels, at least 32.
        width: Columns in pixels, at least 32.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        InputError: The kind is unknown, the seed is negative, or a side is below 32 pixels.
    """
    if kind not in _ARTISTS:
        raise InputError(f"Unknown kind of scene '{kind}'. Known: {', '.join(SCENES)}.")
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"A scene of {height}x{width} pixels is too small: each side needs {SMALLEST_SIDE}.")
    if seed < 0:
        raise InputError(f"The seed of a scene must be 0 or more, not {seed}.")
    rng = np.random.default_rng([SCENES.index(kind), seed])
    canvas = Canvas.blank(height, width, Light.random(rng))
    _ARTISTS[kind](canvas, rng)
    return develop(canvas.image, rng, dark=kind == "night")
