"""Wrong colours: saturation, white balance, misplaced channels."""

import cv2
import numpy as np

from grmp_plugin.synthetic.distortions.arrays import from_ycrcb, mean_luma, to_uint8, to_ycrcb

CHROMA_GREY = np.float32(0.5)
MAX_CHROMA_GAIN = 2.0
HUES = np.array([0.0, 2 * np.pi / 3, 4 * np.pi / 3])


def saturation_gain(image: np.ndarray, gain: float, _rng: np.random.Generator) -> np.ndarray:
    """Scale the chroma channels of YCbCr: 0 is grey, above 1 is garish.

    Args:
        image: (H, W, 3) uint8 RGB.
        gain: Factor of the chroma.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    ycrcb = to_ycrcb(image)
    ycrcb[..., 1:] = CHROMA_GREY + np.float32(gain) * (ycrcb[..., 1:] - CHROMA_GREY)
    return from_ycrcb(ycrcb)


def colour_shift(image: np.ndarray, displacement: float, rng: np.random.Generator) -> np.ndarray:
    """Move the red and the blue channel in opposite directions (chromatic aberration).

    Args:
        image: (H, W, 3) uint8 RGB.
        displacement: Distance of red and of blue from green in pixels.
        rng: Draws the direction.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    angle = rng.uniform(0, 2 * np.pi)
    x, y = displacement * np.cos(angle), displacement * np.sin(angle)
    red, green, blue = cv2.split(image)
    return cv2.merge([_translated(red, x, y), green, _translated(blue, -x, -y)])


def colour_cast(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Multiply the channels by unequal gains (wrong white balance) at equal mean luma.

    Args:
        image: (H, W, 3) uint8 RGB.
        strength: Gain of the most favoured channel in stops (factors of 2).
        rng: Draws the hue of the cast.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    gains = 2 ** (strength * np.cos(rng.uniform(0, 2 * np.pi) - HUES))
    red, green, blue = gains * cv2.mean(image)[:3]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    if luma > 0:
        gains *= mean_luma(image) / luma
    curves = to_uint8(np.arange(256)[:, None] * gains)
    return cv2.LUT(image, curves.reshape(1, 256, 3))


def colour_bleeding(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Diffuse chroma across the edges of luma and displace it sideways, as in analogue video.

    The chroma keeps its overall strength: bleeding colours stay vivid, unlike those of `saturation_gain`.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma: Standard deviation of the diffusion in pixels; also the displacement.
        rng: Draws the side.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    side = 1 if rng.random() < 0.5 else -1
    ycrcb = to_ycrcb(image)
    # Subsampled chroma makes wide Gaussians cheap, and codecs subsample it anyway.
    factor = max(1.0, sigma / 2)
    small_size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(ycrcb[..., 1:], small_size, interpolation=cv2.INTER_AREA)
    diffused = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    chroma = cv2.resize(diffused, (width, height), interpolation=cv2.INTER_LINEAR)
    spread = np.abs(ycrcb[..., 1:] - CHROMA_GREY).mean(), np.abs(chroma - CHROMA_GREY).mean()
    chroma = CHROMA_GREY + (chroma - CHROMA_GREY) * min(MAX_CHROMA_GAIN, spread[0] / max(spread[1], 1e-3))
    ycrcb[..., 1:] = _translated(chroma, side * sigma, 0.0)
    return from_ycrcb(ycrcb)


def _translated(values: np.ndarray, x: float, y: float) -> np.ndarray:
    height, width = values.shape[:2]
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    return cv2.warpAffine(
        values, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
