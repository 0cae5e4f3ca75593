"""Excessive sharpening."""

import cv2
import numpy as np

from grmp_plugin.synthetic.distortions.arrays import to_uint8

# Wide enough for a halo that is visible at normal viewing distance.
HALO_SIGMA = 1.8


def over_sharpening(image: np.ndarray, amount: float, _rng: np.random.Generator) -> np.ndarray:
    """Apply excessive unsharp masking: halos along edges, clipped texture.

    Args:
        image: (H, W, 3) uint8 RGB.
        amount: Gain of the added detail, relative to the detail of the picture.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    values = image.astype(np.float32)
    base = cv2.GaussianBlur(values, (0, 0), HALO_SIGMA)
    return to_uint8(cv2.addWeighted(values, 1 + amount, base, -amount, 0))
