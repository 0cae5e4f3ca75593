"""A substitute for human ratings of a distorted image whose pristine original is available.

Three full-reference similarities that need no download: gradient magnitude (GMSD, arXiv:1308.3052),
structure at four scales (MS-SSIM, doi:10.1109/ACSSC.2003.1292216) and chroma (as in FSIMc,
doi:10.1109/TIP.2011.2109730). Each distance is scaled to about 1 for a bad image.
"""

import cv2
import numpy as np

from grmp_plugin.errors import ImageError

# Distances of clearly bad images, which make the three components comparable.
_BAD_GMSD = 0.22
_BAD_STRUCTURE = 0.45
_BAD_CHROMA = 0.18
_WEIGHTS = (0.45, 0.4, 0.15)
# Distance at which the label is 0.5, and the slope there: chosen so that the labels of the distortion bank
# cover [0, 1] without gaps.
_MIDDLE = 0.30
_SLOPE = 1.25

_GMSD_CONSTANT = 170.0
_CHROMA_CONSTANT = 200.0
_SSIM_CONSTANTS = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
# MS-SSIM's exponents without that of the coarsest scale, which small images lack; renormalised.
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363]) / 0.8668


def pseudo_mos(reference: np.ndarray, image: np.ndarray) -> float:
    """Compute the pseudo-MOS of a distorted image.

    Args:
        reference: Pristine image, uint8 RGB (H, W, 3), at least 96 x 96.
        image: Its distorted version, of the same shape.

    Returns:
        1 for an unchanged image, approaching 0 with increasing distortion.

    Raises:
        ImageError: The shapes differ, or the images are too small.
    """
    if reference.shape != image.shape or reference.ndim != 3:
        raise ImageError(f"pseudo-MOS needs two images of one shape, not {reference.shape} and {image.shape}")
    if min(reference.shape[:2]) < 96:
        raise ImageError(f"pseudo-MOS needs at least 96 x 96 pixels, not {reference.shape[:2]}")
    first, second = (cv2.cvtColor(x, cv2.COLOR_RGB2YCrCb).astype(np.float32) for x in (reference, image))
    y1, y2 = first[..., 0], second[..., 0]
    distances = (
        gradient_deviation(y1, y2) / _BAD_GMSD,
        (1 - structure(y1, y2)) / _BAD_STRUCTURE,
        (1 - chroma(first[..., 1:] - 128, second[..., 1:] - 128)) / _BAD_CHROMA,
    )
    distance = sum(w * min(d, 2.0) for w, d in zip(_WEIGHTS, distances, strict=True))
    return float(1 / (1 + (distance / _MIDDLE) ** _SLOPE))


def gradient_deviation(first: np.ndarray, second: np.ndarray) -> float:
    """GMSD of two luma images (H, W) in grey values 0..255; 0 for equal images."""
    kernel = np.array([[1, 0, -1]] * 3, np.float32) / 3
    magnitudes = []
    for luma in (first, second):
        half = cv2.blur(luma, (2, 2))[1::2, 1::2]
        gx, gy = (cv2.filter2D(half, -1, k, borderType=cv2.BORDER_CONSTANT) for k in (kernel, kernel.T))
        magnitudes.append(np.sqrt(gx * gx + gy * gy))
    m1, m2 = magnitudes
    return float(((2 * m1 * m2 + _GMSD_CONSTANT) / (m1 * m1 + m2 * m2 + _GMSD_CONSTANT)).std())


def structure(first: np.ndarray, second: np.ndarray) -> float:
    """Four-scale MS-SSIM of two luma images (H, W) in grey values 0..255; 1 for equal images."""
    c1, c2 = _SSIM_CONSTANTS
    result = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        if scale:
            first, second = (cv2.blur(x, (2, 2))[1::2, 1::2] for x in (first, second))
        mu1, mu2 = _smooth(first), _smooth(second)
        var1, var2 = _smooth(first * first) - mu1 * mu1, _smooth(second * second) - mu2 * mu2
        covariance = _smooth(first * second) - mu1 * mu2
        similarity = ((2 * covariance + c2) / (var1 + var2 + c2)).mean()
        if scale == len(_SCALE_WEIGHTS) - 1:
            similarity *= ((2 * mu1 * mu2 + c1) / (mu1 * mu1 + mu2 * mu2 + c1)).mean()
        result *= max(float(similarity), 0.0) ** weight
    return result


def chroma(first: np.ndarray, second: np.ndarray) -> float:
    """Similarity of two chroma images (H, W, 2) around zero, at half resolution; 1 for equal images."""
    a, b = (cv2.blur(x, (2, 2))[1::2, 1::2] for x in (first, second))
    return float(((2 * a * b + _CHROMA_CONSTANT) / (a * a + b * b + _CHROMA_CONSTANT)).mean())


def _smooth(x: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(x, (11, 11), 1.5)
