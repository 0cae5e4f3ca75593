"""Pristine training pictures: drawn scenes, with the imperfections that good photographs have as well."""

import cv2
import numpy as np

from grmp_plugin.data.distortions.arrays import to_uint8
from grmp_plugin.data.distortions.compression import jpeg
from grmp_plugin.data.scenes import draw_scene

Rng = np.random.Generator

# Close views, which a texture may fill.
_CLOSE_SHARE = 0.3
_CLOSEST = 2.0  # magnification
# Demosaicing and lenses soften, and files are compressed.
_SOFT_SHARE = 0.4
_SOFTEST = 0.7  # of the side, drawn and enlarged
_COMPRESSED_SHARE = 0.3
_GOOD_JPEG = (82, 98)  # libjpeg's quality
# Greyscale files are common; a model that meets few takes what it lacks for a fault.
_GREY_SHARE = 0.2
# What is left of a sensor's noise: stronger in red and blue, which white balance amplifies, stronger in
# bright places, and grainy where it was smoothed.
_NOISY_SHARE = 0.4
_STRONGEST_NOISE = 2.5  # grey values, before it is smoothed
_GAIN = (1.0, 2.0)
_GRAIN = (0.0, 0.8)  # pixels

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def pristine_picture(scene: str, seed: int, side: int, rng: Rng) -> np.ndarray:
    """A drawn scene as a good camera might have delivered it.

    Args:
        scene: one of `SCENES`.
        seed: which drawing.
        side: of the picture, in pixels.
        rng: what imperfections it has.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    window = round(side * (rng.uniform(_SOFTEST, 1) if rng.random() < _SOFT_SHARE else 1))
    canvas = round(window * (rng.uniform(1, _CLOSEST) if rng.random() < _CLOSE_SHARE else 1))
    top, left = rng.integers(0, canvas - window + 1, 2)
    picture = draw_scene(scene, seed, canvas, canvas)[top : top + window, left : left + window]
    if window < side:
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
    if rng.random() < _NOISY_SHARE:
        picture = _sensor_noise(picture, rng)
    if rng.random() < _GREY_SHARE:
        picture = to_uint8(np.repeat((picture @ _LUMA)[:, :, None], 3, 2))
    if rng.random() < _COMPRESSED_SHARE:
        picture = jpeg(picture, int(rng.integers(*_GOOD_JPEG)), rng)
    return picture


def _sensor_noise(picture: np.ndarray, rng: Rng) -> np.ndarray:
    noise: np.ndarray = rng.standard_normal(picture.shape, dtype=np.float32)
    grain = rng.uniform(*_GRAIN)
    if grain > 0.3:
        noise = cv2.GaussianBlur(noise, (0, 0), grain)
    gains = np.array([rng.uniform(*_GAIN), 1, rng.uniform(*_GAIN)], np.float32)
    strength = np.float32(rng.uniform(0, _STRONGEST_NOISE)) * np.sqrt(picture / np.float32(255) + 0.05)
    return to_uint8(picture + noise * gains * strength)
