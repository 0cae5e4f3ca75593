"""The record that describes one kind of distortion."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Distortion:
    """One kind of distortion and its five levels."""

    name: str
    """Key in the bank, lower_snake_case."""
    family: str
    """Group of similar kinds: blur, noise, compression, tone, colour, spatial, sharpness."""
    parameter: str
    """What the numbers in `levels` mean, with their unit."""
    levels: tuple[float, float, float, float, float]
    """The parameter at level 1 (barely visible) to level 5 (severe)."""
    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    """(H, W, 3) uint8 RGB image, parameter, generator -> new (H, W, 3) uint8 RGB image."""
    describe: str
    """Words for a caption, such as "blurred by motion"."""
