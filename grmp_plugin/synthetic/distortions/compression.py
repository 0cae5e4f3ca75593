"""Too few bits: codecs, palettes, grey steps."""

import io

import cv2
import numpy as np
from PIL import Image

from grmp_plugin.synthetic.distortions.arrays import to_uint8

# Mean absolute detail in grey values above which texture masks banding.
MASKING_ACTIVITY = 5.0
PALETTE_SAMPLE_SIDE = 48
# Centres of the 32 x 32 x 32 cells that share one colour of a palette.
_CELLS = (
    np.stack(np.meshgrid(*3 * [np.arange(4, 256, 8)], indexing="ij"), -1).reshape(-1, 3).astype(np.float32)
)


def jpeg(image: np.ndarray, quality: float, _rng: np.random.Generator) -> np.ndarray:
    """Encode as JPEG with 4:2:0 chroma, and decode.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: Quality of libjpeg, 1 to 95.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=int(quality), subsampling="4:2:0")
    return _decoded(stream)


def jpeg2000(image: np.ndarray, ratio: float, _rng: np.random.Generator) -> np.ndarray:
    """Encode as JPEG 2000 with the irreversible wavelet, and decode.

    Args:
        image: (H, W, 3) uint8 RGB.
        ratio: Size of the raw picture over the size of the file.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    stream = io.BytesIO()
    # The encoder refuses more wavelet levels than the shorter side can be halved.
    resolutions = min(6, int(np.log2(min(image.shape[:2]))))
    Image.fromarray(image).save(
        stream,
        "JPEG2000",
        quality_mode="rates",
        quality_layers=[ratio],
        irreversible=True,
        num_resolutions=resolutions,
    )
    return _decoded(stream)


def colour_quantization(image: np.ndarray, colours: float, _rng: np.random.Generator) -> np.ndarray:
    """Paint with a small palette fitted to the picture (median cut, k-means), without dithering.

    Args:
        image: (H, W, 3) uint8 RGB.
        colours: Number of colours of the palette, 2 to 256.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    # Both the palette and the nearest colour are slow to compute and need no more precision than this.
    sample = cv2.resize(image, (PALETTE_SAMPLE_SIDE, PALETTE_SAMPLE_SIDE), interpolation=cv2.INTER_NEAREST)
    fitted = Image.fromarray(sample).quantize(int(colours), method=Image.Quantize.MEDIANCUT, kmeans=1)
    palette = np.array(fitted.getpalette(), np.float32).reshape(-1, 3)
    # Half of |cell - colour|^2, without the term common to all colours.
    nearest = (np.square(palette).sum(axis=1) / 2 - _CELLS @ palette.T).argmin(axis=1)
    red, green, blue = (channel.astype(np.uint16) >> 3 for channel in cv2.split(image))
    return palette.astype(np.uint8)[nearest][red << 10 | green << 5 | blue]


def banding(image: np.ndarray, step: float, _rng: np.random.Generator) -> np.ndarray:
    """Break smooth gradients into flat bands; texture stays.

    Args:
        image: (H, W, 3) uint8 RGB.
        step: Distance of the bands in grey values (of 255).

    Returns:
        (H, W, 3) uint8 RGB.
    """
    values = image.astype(np.float32)
    base = cv2.GaussianBlur(values, (0, 0), 1.5)
    detail = cv2.cvtColor(np.abs(values - base), cv2.COLOR_RGB2GRAY)
    activity = cv2.GaussianBlur(detail, (0, 0), 2.0) / np.float32(MASKING_ACTIVITY)
    smoothness = np.exp(-activity * activity)[..., None]
    bands = (np.floor(base / np.float32(step)) + np.float32(0.5)) * np.float32(step)
    return to_uint8(values + smoothness * (bands - values))


def _decoded(stream: io.BytesIO) -> np.ndarray:
    with Image.open(stream) as picture:
        return np.array(picture.convert("RGB"))
