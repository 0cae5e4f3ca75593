"""What one kind of distortion is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Distortion:
    """One kind of distortion and its five levels."""

    name: str
    """Key in the bank, lower_snake_case."""
    family: str
    """Group of kinds that look alike: blur, noise, compression, tone, colour, spatial, sharpness."""
    parameter: str
    """What the number of a level is, with its unit."""
    levels: tuple[float, float, float, float, float]
    """The number for level 1 (barely visible) to level 5 (severe)."""
    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    """(H, W, 3) uint8 RGB image, number of the level, generator -> new (H, W, 3) uint8 RGB image."""
    describe: str
    """Words for a caption, such as "blurred by motion"."""
