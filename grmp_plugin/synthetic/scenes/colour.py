"""Colours: small helpers to choose, mix and map them. All colours are RGB float32 in [0, 1]."""

import colorsys

import cv2
import numpy as np

from .noise import Rng


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """A colour, (3,) float32."""
    return np.array([red, green, blue], np.float32)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """A colour from hue (in turns, any real), saturation and value, (3,) float32."""
    red, green, blue = colorsys.hsv_to_rgb(
        hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    )
    return rgb(red, green, blue)


def near(rng: Rng, hue: float, saturation: float, value: float, spread: float = 1.0) -> np.ndarray:
    """A random colour around the given hue (turns), saturation and value, (3,) float32."""
    return hsv(
        hue + rng.normal(0, 0.025) * spread,
        saturation * float(np.exp(rng.normal(0, 0.22) * spread)),
        value * float(np.exp(rng.normal(0, 0.16) * spread)),
    )


def anything(rng: Rng, vivid: float = 0.5) -> np.ndarray:
    """Any colour; `vivid` is the typical saturation, (3,) float32."""
    saturation = float(rng.beta(2, 2.5)) * 2 * vivid
    return hsv(rng.uniform(), min(saturation, 0.95), rng.uniform(0.25, 0.95))


def mix(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Blend two colours or pictures; share 0 gives the first, 1 the second."""
    return first + (second - first) * np.float32(share)


def ramp(field: np.ndarray, *colours: np.ndarray) -> np.ndarray:
    """Map a (H, W) field in [0, 1] through evenly spaced colours to (H, W, 3) float32."""
    table_size = 512
    positions = np.linspace(0, 1, len(colours))
    steps = np.linspace(0, 1, table_size)
    table = np.stack([np.interp(steps, positions, [c[k] for c in colours]) for k in range(3)], -1)
    index = np.clip(field * (table_size - 1), 0, table_size - 1).astype(np.int32)
    return table.astype(np.float32)[index]


def between(field: np.ndarray, dark: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Mix two colours by a (H, W) field without quantization, (H, W, 3) float32."""
    # One channel after the other: numpy is slow to broadcast along a last axis of three.
    channels = [np.float32(d) + field * np.float32(b - d) for d, b in zip(dark, light, strict=True)]
    return np.asarray(cv2.merge(channels), np.float32)


def skin(rng: Rng) -> np.ndarray:
    """A human skin colour from very dark to very fair, (3,) float32."""
    tones = np.array(
        [[0.96, 0.80, 0.70], [0.90, 0.70, 0.57], [0.80, 0.59, 0.45], [0.62, 0.42, 0.31], [0.40, 0.26, 0.19]]
    )
    position = rng.uniform(0, len(tones) - 1)
    tone = [np.interp(position, range(len(tones)), tones[:, k]) for k in range(3)]
    return (np.array(tone) * rng.uniform(0.93, 1.04) + rng.normal(0, 0.008, 3)).astype(np.float32)
