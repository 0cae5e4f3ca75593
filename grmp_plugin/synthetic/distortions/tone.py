"""Exposure, contrast and haze."""

import cv2
import numpy as np

from grmp_plugin.synthetic.distortions.arrays import mean_luma, smooth_field, to_uint8

GREYS = np.arange(256, dtype=np.float32)
AIRLIGHT = np.array([224, 229, 234], np.float32)


def gamma_curve(image: np.ndarray, gamma: float, _rng: np.random.Generator) -> np.ndarray:
    """Raise grey values to a power: below 1 brightens, above 1 darkens; black and white are unchanged.

    Args:
        image: (H, W, 3) uint8 RGB.
        gamma: Exponent on values in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return cv2.LUT(image, to_uint8(255 * (GREYS / 255) ** np.float32(gamma)))


def mean_shift(image: np.ndarray, shift: float, rng: np.random.Generator) -> np.ndarray:
    """Add a constant up or down, with clipping.

    Args:
        image: (H, W, 3) uint8 RGB.
        shift: Absolute shift in grey values (of 255).
        rng: Draws the sign.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    sign = 1 if rng.random() < 0.5 else -1
    return cv2.LUT(image, to_uint8(GREYS + sign * shift))


def contrast_gain(image: np.ndarray, gain: float, _rng: np.random.Generator) -> np.ndarray:
    """Scale grey values about the mean luma: below 1 lowers contrast, above 1 raises it and clips.

    Args:
        image: (H, W, 3) uint8 RGB.
        gain: Factor of the contrast.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    centre = mean_luma(image)
    return cv2.LUT(image, to_uint8(centre + gain * (GREYS - centre)))


def haze(image: np.ndarray, thickness: float, rng: np.random.Generator) -> np.ndarray:
    """Veil the picture in grey airlight, denser towards the top, where scenes are usually farther away.

    Args:
        image: (H, W, 3) uint8 RGB.
        thickness: Optical thickness at the top edge; transmission there is exp(-thickness).
        rng: Draws the unevenness of the veil.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    depth = np.linspace(1.0, 0.5, height, dtype=np.float32)[:, None, None]
    unevenness = smooth_field(height, width, max(height, width) / 3, 1, rng)
    depth = np.clip(depth + np.float32(0.1) * unevenness, 0.2, 1.3)
    transmission = np.exp(-np.float32(thickness) * depth)
    return to_uint8(AIRLIGHT + transmission * (image - AIRLIGHT))
