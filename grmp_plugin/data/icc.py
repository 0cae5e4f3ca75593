"""Embedded ICC profiles: convert to sRGB, and leave the pixels of sRGB images exactly as they are."""

import functools
import io

import numpy as np
from PIL import Image

from grmp_plugin.errors import ImageError

# Encoders round sRGB's curve and primaries differently; a larger difference means another colour space.
_SRGB_TOLERANCE = 2


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Convert an 8-bit image of any mode to sRGB.

    Args:
        image: Opaque, of any 8-bit mode.
        profile: The embedded ICC profile; anything but bytes means that there is none. A profile that is
            damaged, belongs to another kind of image or describes sRGB is ignored, as viewers do.

    Returns:
        An image of mode RGB; the given one where nothing changes.
    """
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if isinstance(profile, bytes) and profile and _changes_colours(profile, image.mode):
        return _apply(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _apply(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert from an ICC profile to sRGB; a damaged profile raises nearly anything."""
    from PIL import ImageCms

    grey = image.mode == "L"
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        image.mode,
        "RGB",
        # Optimisation reduces a grey curve to 33 points, up to 10 levels off in the shadows.
        flags=ImageCms.Flags.NOOPTIMIZE if grey else ImageCms.Flags.NONE,
    )
    shown = ImageCms.applyTransform(_chart("L") if grey else image, transform)
    if shown is None:  # Pillow's signature allows it, for transforms in place
        raise ImageError("no colours from its ICC profile")
    return Image.fromarray(np.asarray(shown)[0][np.asarray(image)]) if grey else shown


@functools.lru_cache(maxsize=32)
def _changes_colours(profile: bytes, mode: str) -> bool:
    """Tell whether a profile is usable and describes anything other than sRGB.

    Decided by its effect on a chart of colours: sRGB profiles differ in name and in bytes.
    """
    chart = _chart(mode)
    try:
        shown = _apply(chart, profile)
    except Exception:
        return False
    before = np.asarray(chart.convert("RGB"), dtype=np.int16)
    return bool(np.abs(np.asarray(shown, dtype=np.int16) - before).max() > _SRGB_TOLERANCE)


def _chart(mode: str) -> Image.Image:
    """Draw the grey ramp and a cube of 6 levels per channel, in one row."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    ramp = np.repeat(np.arange(256)[:, None], 3, axis=1)
    cube = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([ramp, cube]).astype(np.uint8)[None]).convert(mode)
