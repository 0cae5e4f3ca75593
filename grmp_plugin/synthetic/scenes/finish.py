"""From canvas to picture: exposure, white balance, lens, sampling and grain, all within pristine limits."""

import cv2
import numpy as np

from . import noise
from .canvas import SUPERSAMPLING
from .noise import Rng

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def develop(image: np.ndarray, rng: Rng, dark: bool = False) -> np.ndarray:
    """Develop a canvas into the final picture.

    Args:
        image: (H * 2, W * 2, 3) float32, display-encoded RGB.
        rng: Source of randomness.
        dark: Keep the picture dark (a night), instead of exposing it for the usual range.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    # A real lens spreads a point a little; sharpening in the camera then restores part of it.
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.35, 0.7))
    height, width = image.shape[0] // SUPERSAMPLING, image.shape[1] // SUPERSAMPLING
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    crisp = np.float32(rng.uniform(0.0, 0.75))
    image = image + crisp * (image - cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.0)))
    image = _expose(image, rng, dark)
    image = _colour(image, rng)
    if rng.uniform() < 0.4:
        image *= _vignette(height, width, rng.uniform(0.05, 0.3))[:, :, None]
    if rng.uniform() < 0.55:
        grain = noise.white(rng, height, width)[:, :, None] * np.float32(0.6)
        grain = grain + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(0.6)
        image += grain * np.float32(rng.uniform(0.3, 1.1) / 255)
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def _expose(image: np.ndarray, rng: Rng, dark: bool) -> np.ndarray:
    luma = image[::4, ::4] @ _LUMA
    low, middle, high = (float(v) for v in np.percentile(luma, [1, 50, 99]))
    black = max(rng.normal(0.035, 0.03), 0.0)
    if dark:
        white_point = min(max(high, 0.35) * rng.uniform(0.95, 1.15), rng.uniform(0.75, 1.1))
        span = min(white_point / max(high - low, 0.05), 2.0)
        return np.maximum(black * 0.5 + (image - low * 0.8) * np.float32(span), 0)
    target = rng.uniform(0.86, 1.04) if rng.uniform() < 0.8 else rng.uniform(0.62, 0.86)
    span = float(np.clip((target - black) / max(high - low, 0.05), 0.5, 2.2))
    image = black + (image - low) * np.float32(span)
    centre = float(np.clip(black + (middle - low) * span, 0.04, 0.96))
    wish = float(np.clip(rng.normal(0.44, 0.13), 0.16, 0.78))
    # Halfway to the target median: naturally dark or bright scenes stay so.
    gamma = float(np.clip(np.log(wish) / np.log(centre), 0.55, 1.7)) ** 0.6
    image = np.power(np.maximum(image, 1e-4), np.float32(gamma))
    return _shoulder(image)


def _shoulder(image: np.ndarray) -> np.ndarray:
    """Roll highlights off softly above 0.85, as cameras do, so that few pixels clip."""
    knee = np.float32(0.85)
    over = np.maximum(image - knee, 0)
    return np.minimum(image, knee) + over / (1 + over * np.float32(3.0))


def _colour(image: np.ndarray, rng: Rng) -> np.ndarray:
    grey = (image @ _LUMA)[:, :, None]
    if rng.uniform() < 0.04:
        tone = np.array([1, 1, 1], np.float32) + np.float32(rng.uniform(0, 0.06)) * np.array(
            [1, 0.2, -1], np.float32
        )
        return np.repeat(grey, 3, 2) * (tone if rng.uniform() < 0.4 else np.float32(1))
    saturation = np.float32(np.clip(np.exp(rng.normal(0.2, 0.3)), 0.4, 1.9))
    balance = np.array([1, 1, 1], np.float32) + np.float32(rng.normal(0.015, 0.045)) * np.array(
        [1, 0.1, -1], np.float32
    )
    chroma = (image - grey) * saturation
    # Real pigments do not reach the corners of the gamut: strong colours are reduced.
    strength = np.abs(chroma).max(2, keepdims=True)
    image = grey + chroma / (1 + np.float32(0.9) * strength)
    return image * balance


def _vignette(height: int, width: int, strength: float) -> np.ndarray:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return 1 - np.float32(strength) * ((x * x + y * y) / 2) ** 1.5
