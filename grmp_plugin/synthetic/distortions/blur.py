"""Loss of detail: defocus, motion, low resolution."""

import cv2
import numpy as np


def gaussian_blur(image: np.ndarray, sigma: float, _rng: np.random.Generator) -> np.ndarray:
    """Convolve with an isotropic Gaussian.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma: Standard deviation in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return cv2.GaussianBlur(image, (0, 0), sigma)


def lens_blur(image: np.ndarray, radius: float, _rng: np.random.Generator) -> np.ndarray:
    """Convolve with a disc, the point spread of a defocused lens.

    Args:
        image: (H, W, 3) uint8 RGB.
        radius: Radius of the disc in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    reach = int(np.ceil(radius))
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    distance = np.hypot(offsets[:, None], offsets[None, :])
    # A rim that fades linearly over one pixel makes fractional radii differ.
    return cv2.filter2D(image, -1, _normalised(np.clip(radius + 0.5 - distance, 0, 1)))


def motion_blur(image: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """Convolve with a line segment, the point spread of a moving camera.

    Args:
        image: (H, W, 3) uint8 RGB.
        length: Length of the path in pixels.
        rng: Draws the direction.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2))
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    along = offsets[None, :] * np.cos(angle) + offsets[:, None] * np.sin(angle)
    across = offsets[:, None] * np.cos(angle) - offsets[None, :] * np.sin(angle)
    weight = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return cv2.filter2D(image, -1, _normalised(weight))


def downsampling(image: np.ndarray, factor: float, _rng: np.random.Generator) -> np.ndarray:
    """Shrink by area averaging, then enlarge by bicubic interpolation.

    Args:
        image: (H, W, 3) uint8 RGB.
        factor: Reduction of each side, above 1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    small_size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def pixelation(image: np.ndarray, side: float, _rng: np.random.Generator) -> np.ndarray:
    """Replace square blocks by their mean colour.

    Args:
        image: (H, W, 3) uint8 RGB.
        side: Side of a block in whole pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    block = int(side)
    bottom, right = -height % block, -width % block
    padded = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size = (padded.shape[1] // block, padded.shape[0] // block)
    means = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
    blocks = means.repeat(block, axis=0).repeat(block, axis=1)
    return np.ascontiguousarray(blocks[:height, :width])


def _normalised(kernel: np.ndarray) -> np.ndarray:
    return (kernel / kernel.sum()).astype(np.float32)
