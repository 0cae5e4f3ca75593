"""Random noise, and the artefacts of denoising."""

import cv2
import numpy as np

from grmp_plugin.synthetic.distortions.arrays import from_ycrcb, smooth_field, to_uint8, to_ycrcb

OCTAVES = (2, 4, 8, 16, 32)
WINDOW_SIDE = 9
# Variance of the BT.601 luma of white noise of variance 1 in each of red, green and blue.
LUMA_NOISE_GAIN = 0.299**2 + 0.587**2 + 0.114**2


def white_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, independent in each pixel and channel.

    Args:
        image: (H, W, 3) uint8 RGB.
        deviation: Standard deviation in grey values (of 255).
        rng: Draws the noise.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return to_uint8(image + noise * np.float32(deviation))


def colour_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise to the chroma channels of YCbCr, leaving luma unchanged.

    Args:
        image: (H, W, 3) uint8 RGB.
        deviation: Standard deviation in chroma values (of 255).
        rng: Draws the noise.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    ycrcb = to_ycrcb(image)
    noise = rng.standard_normal((*image.shape[:2], 2), dtype=np.float32)
    ycrcb[..., 1:] += noise * np.float32(deviation)
    return from_ycrcb(ycrcb)


def impulse_noise(image: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Turn pixels black or white (salt and pepper).

    Args:
        image: (H, W, 3) uint8 RGB.
        fraction: Share of affected pixels, in [0, 1].
        rng: Draws the pixels; one affected at some level is affected at all higher levels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    draw = rng.random(image.shape[:2], dtype=np.float32)
    noisy = image.copy()
    noisy[draw < fraction / 2] = 0
    noisy[draw > 1 - fraction / 2] = 255
    return noisy


def multiplicative_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Multiply by Gaussian noise of mean 1 (speckle), which affects bright areas most.

    Args:
        image: (H, W, 3) uint8 RGB.
        deviation: Standard deviation of the factor.
        rng: Draws the factors.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    factor = rng.standard_normal(image.shape, dtype=np.float32)
    factor *= np.float32(deviation)
    factor += 1
    return to_uint8(image * factor)


def low_frequency_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Add grey, spatially correlated noise with about equal power in each octave (pink).

    Args:
        image: (H, W, 3) uint8 RGB.
        deviation: Standard deviation in grey values (of 255).
        rng: Draws the noise.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    noise = np.zeros((height, width, 1), np.float32)
    for spacing in OCTAVES:
        noise += smooth_field(height, width, spacing, 1, rng)
    noise *= np.float32(deviation) / noise.std()
    return to_uint8(image + noise)


def denoise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise and remove it with an overly strong Wiener filter: texture is lost, blotches stay.

    Args:
        image: (H, W, 3) uint8 RGB.
        deviation: Standard deviation of the noise in grey values (of 255); also sets the filter's strength.
        rng: Draws the noise.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noisy = image + noise * np.float32(deviation)
    side = (WINDOW_SIDE, WINDOW_SIDE)
    luma = cv2.cvtColor(noisy, cv2.COLOR_RGB2GRAY)
    luma_mean = cv2.blur(luma, side)
    variance = cv2.blur(luma * luma, side) - luma_mean * luma_mean
    # Contrast of up to twice the noise variance counts as noise, which makes the filter overly strong.
    threshold = np.float32(2 * LUMA_NOISE_GAIN * deviation**2)
    gain = cv2.blur(np.maximum(variance - threshold, 0) / np.maximum(variance, threshold), side)[..., None]
    mean = cv2.blur(noisy, side)
    return to_uint8(mean + gain * (noisy - mean))
