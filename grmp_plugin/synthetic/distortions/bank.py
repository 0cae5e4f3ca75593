"""The table of all distortions, and the one function that applies them."""

import zlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from grmp_plugin.errors import InputError
from grmp_plugin.suggest import did_you_mean
from grmp_plugin.synthetic.distortions import blur, colour, compression, noise, sharpness, spatial, tone
from grmp_plugin.synthetic.distortions.distortion import Distortion

MIN_SIDE = 8

# Levels are set by eye for pictures of 300 to 600 pixels a side: level 1 is just noticeable beside the
# original, level 5 is bad, and equal levels of different kinds are about equally annoying.
# fmt: off
_TABLE = (
    Distortion("gaussian_blur", "blur", "standard deviation in pixels",
               (0.8, 1.3, 2.0, 3.2, 5.0), blur.gaussian_blur, "blurred"),
    Distortion("lens_blur", "blur", "radius of the disc in pixels",
               (1.2, 2.2, 3.6, 5.6, 8.5), blur.lens_blur, "out of focus"),
    Distortion("motion_blur", "blur", "length of the path in pixels",
               (3, 6, 11, 18, 28), blur.motion_blur, "blurred by motion"),
    Distortion("downsampling", "blur", "factor of the reduction",
               (1.6, 2.4, 3.6, 5.5, 8.5), blur.downsampling, "enlarged from a low resolution"),
    Distortion("pixelation", "blur", "side of the blocks in pixels",
               (2, 3, 5, 8, 12), blur.pixelation, "pixelated"),
    Distortion("white_noise", "noise", "standard deviation in grey values",
               (6, 12, 21, 35, 56), noise.white_noise, "noisy"),
    Distortion("colour_noise", "noise", "standard deviation in chroma values",
               (8, 16, 28, 46, 75), noise.colour_noise, "full of coloured noise"),
    Distortion("impulse_noise", "noise", "share of the pixels",
               (0.003, 0.01, 0.027, 0.065, 0.14), noise.impulse_noise, "sprinkled with black and white dots"),
    Distortion("multiplicative_noise", "noise", "standard deviation of the factor",
               (0.04, 0.08, 0.15, 0.26, 0.42), noise.multiplicative_noise, "speckled"),
    Distortion("low_frequency_noise", "noise", "standard deviation in grey values",
               (3.5, 7, 13, 22, 36), noise.low_frequency_noise, "blotchy"),
    Distortion("denoise", "noise", "standard deviation of the removed noise in grey values",
               (6, 12, 22, 38, 62), noise.denoise, "smeared by denoising"),
    Distortion("jpeg", "compression", "quality of libjpeg",
               (50, 28, 16, 9, 5), compression.jpeg, "full of JPEG blocks"),
    Distortion("jpeg2000", "compression", "compression ratio",
               (18, 40, 75, 125, 200), compression.jpeg2000, "smeared by JPEG 2000"),
    Distortion("colour_quantization", "compression", "number of colours",
               (56, 30, 16, 9, 5), compression.colour_quantization, "reduced to few colours"),
    Distortion("banding", "compression", "distance of the bands in grey values",
               (6, 11, 19, 32, 52), compression.banding, "banded in smooth areas"),
    Distortion("brighten", "tone", "gamma exponent",
               (0.82, 0.66, 0.51, 0.38, 0.27), tone.gamma_curve, "too bright"),
    Distortion("darken", "tone", "gamma exponent",
               (1.25, 1.6, 2.15, 3.0, 4.4), tone.gamma_curve, "too dark"),
    Distortion("mean_shift", "tone", "shift up or down in grey values",
               (12, 25, 42, 62, 85), tone.mean_shift, "wrongly exposed"),
    Distortion("contrast_decrease", "tone", "factor of the contrast",
               (0.85, 0.68, 0.5, 0.33, 0.18), tone.contrast_gain, "low in contrast"),
    Distortion("contrast_increase", "tone", "factor of the contrast",
               (1.25, 1.6, 2.2, 3.3, 5.5), tone.contrast_gain, "too high in contrast"),
    Distortion("haze", "tone", "optical thickness at the top edge",
               (0.2, 0.45, 0.8, 1.3, 2.0), tone.haze, "hazy"),
    Distortion("saturation_decrease", "colour", "factor of the chroma",
               (0.7, 0.5, 0.32, 0.15, 0.0), colour.saturation_gain, "pale in colour"),
    Distortion("saturation_increase", "colour", "factor of the chroma",
               (1.3, 1.7, 2.4, 3.4, 5.0), colour.saturation_gain, "garish in colour"),
    Distortion("colour_shift", "colour", "displacement of red and of blue in pixels",
               (0.8, 1.6, 3.0, 5.5, 9.0), colour.colour_shift, "fringed with colour"),
    Distortion("colour_cast", "colour", "strongest gain in stops",
               (0.06, 0.13, 0.25, 0.42, 0.68), colour.colour_cast, "tinted by a colour cast"),
    Distortion("colour_bleeding", "colour", "standard deviation of the diffusion in pixels",
               (3, 6, 11, 19, 32), colour.colour_bleeding, "bleeding in colour"),
    Distortion("jitter", "spatial", "standard deviation of the displacement in pixels",
               (0.35, 0.7, 1.2, 2.0, 3.3), spatial.jitter, "jittered"),
    Distortion("warp", "spatial", "standard deviation of the displacement in pixels",
               (1.0, 2.0, 3.4, 5.4, 8.5), spatial.warp, "warped"),
    Distortion("block_loss", "spatial", "share of the blocks",
               (0.006, 0.016, 0.04, 0.09, 0.18), spatial.block_loss, "missing blocks"),
    Distortion("over_sharpening", "sharpness", "gain of the added detail",
               (0.6, 1.3, 2.5, 4.5, 8.0), sharpness.over_sharpening, "oversharpened with halos"),
)
# fmt: on

DISTORTIONS: Mapping[str, Distortion] = MappingProxyType({kind.name: kind for kind in _TABLE})


def distort(image: np.ndarray, name: str, level: int, seed: int) -> np.ndarray:
    """Apply one distortion; the same arguments give the same bytes.

    The random pattern depends only on name and seed, so the levels of one seed differ in strength alone.

    Args:
        image: (H, W, 3) uint8 RGB, H and W at least 8; not modified.
        name: A key of `DISTORTIONS`.
        level: 1 (barely visible) to 5 (severe).
        seed: Seed for the random pattern, 0 or more.

    Returns:
        New (H, W, 3) uint8 RGB.

    Raises:
        InputError: The name is unknown, or level, seed, dtype or shape are invalid.

    Example:
        >>> grey = np.full((8, 8, 3), 100, np.uint8)
        >>> distort(grey, "darken", level=3, seed=0)[0, 0]
        array([34, 34, 34], dtype=uint8)
    """
    if name not in DISTORTIONS:
        hint = did_you_mean(str(name), DISTORTIONS) or f"Known: {', '.join(DISTORTIONS)}."
        raise InputError(f"unknown distortion '{name}'. {hint}")
    if not isinstance(level, (int, np.integer)) or not 1 <= level <= 5:
        raise InputError(f"distortion level is {level!r}, expected an integer from 1 (mild) to 5 (severe)")
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed is {seed!r}, expected a non-negative integer")
    _check_image(image)
    kind = DISTORTIONS[name]
    rng = np.random.default_rng([zlib.crc32(name.encode()), int(seed)])
    # Codecs and OpenCV need contiguous rows, which a view such as a flipped picture does not have.
    return kind.apply(np.ascontiguousarray(image), kind.levels[level - 1], rng)


def distortion_table() -> str:
    """List all distortions as a markdown table: name, family, parameter and the five levels."""
    rows = ["| name | family | parameter | 1 | 2 | 3 | 4 | 5 |", "|---|---|---|---|---|---|---|---|"]
    for kind in DISTORTIONS.values():
        levels = " | ".join(f"{value:g}" for value in kind.levels)
        rows.append(f"| {kind.name} | {kind.family} | {kind.parameter} | {levels} |")
    return "\n".join(rows)


def _check_image(image: np.ndarray) -> None:
    if not isinstance(image, np.ndarray):
        raise InputError(f"image is a {type(image).__name__}, expected a numpy array (H, W, 3) of uint8")
    if image.dtype != np.uint8:
        raise InputError(f"image has dtype {image.dtype}, expected uint8 RGB in 0 to 255")
    if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < MIN_SIDE:
        raise InputError(f"image has shape {image.shape}, expected (H, W, 3) with H and W >= {MIN_SIDE}")
