"""Real photographs for measurements: those inside scikit-image's and scikit-learn's wheels."""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_image

TWELVE = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png"),
    *("brick.png", "grass.png", "gravel.png", "coins.png", "china.jpg", "flower.jpg"),
)
OTHERS = ("moon.png", "hubble_deep_field.jpg", "retina.jpg", "ihc.png")
"""Of other kinds: the sky, and medicine."""

_SKLEARN = ("china.jpg", "flower.jpg")


def photographs(names: tuple[str, ...] = TWELVE, longest: int | None = None) -> dict[str, np.ndarray]:
    """Stem of the file name -> (H, W, 3) uint8; grey ones are repeated.

    Args:
        names: of the files.
        longest: side in pixels that larger ones are reduced to.
    """
    folder = Path(skimage.data.__file__).parent
    images = {}
    for name in names:
        if name in _SKLEARN:
            image = Image.fromarray(load_sample_image(name))
        else:
            image = Image.open(folder / name).convert("RGB")
        if longest is not None:
            image.thumbnail((longest, longest))
        images[Path(name).stem] = np.asarray(image)
    return images
