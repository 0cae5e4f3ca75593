"""Conversions that several distortions share."""

import cv2
import numpy as np


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round and clip grey values to 8 bits.

    Args:
        values: Float array of any shape, nominally in [0, 255].

    Returns:
        An array of the same shape, uint8.
    """
    rounded = np.rint(values)
    return np.clip(rounded, 0, 255, out=rounded).astype(np.uint8)


def to_ycrcb(image: np.ndarray) -> np.ndarray:
    """Split a picture into luma and chroma (BT.601, full range).

    In floating point, because the rounding error of 8-bit chroma would exceed the mildest levels.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) float32: luma in [0, 255], Cr and Cb with grey at 0.5 (OpenCV's offset for floats).
    """
    return cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2YCrCb)


def from_ycrcb(ycrcb: np.ndarray) -> np.ndarray:
    """Invert `to_ycrcb` and clip to the RGB cube.

    Args:
        ycrcb: (H, W, 3) float32 as `to_ycrcb` returns it.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return to_uint8(cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB))


def mean_luma(image: np.ndarray) -> float:
    """Return the mean BT.601 luma of a picture.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        Luma in [0, 255].
    """
    red, green, blue = cv2.mean(image)[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def smooth_field(
    height: int, width: int, spacing: float, channels: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw a smooth random field: Gaussian nodes on a coarse grid, bicubic in between.

    Args:
        height: H in pixels.
        width: W in pixels.
        spacing: Distance of the nodes in pixels, the correlation length of the field.
        channels: Number C of independent fields.
        rng: Source of the nodes, which have mean 0 and variance 1.

    Returns:
        (H, W, C) float32.
    """
    rows = int(np.ceil(height / spacing)) + 1
    columns = int(np.ceil(width / spacing)) + 1
    nodes = rng.standard_normal((rows, columns, channels), dtype=np.float32)
    field = cv2.resize(nodes, (width, height), interpolation=cv2.INTER_CUBIC)
    return field.reshape(height, width, channels)
