"""From decoded pixels of any depth and colour space to what a viewer shows: upright, opaque, 8-bit sRGB.

`Image.convert("RGB")` is not enough: it clips 16-bit grey instead of scaling it, drops transparency and
ignores ICC profiles.
"""

import numpy as np
from PIL import ExifTags, Image

from grmp_plugin.data.icc import to_srgb
from grmp_plugin.data.tiff import BITS_PER_SAMPLE, PHOTOMETRIC, tiff_tag
from grmp_plugin.errors import ImageError

# EXIF orientation -> the operation that turns the stored pixels upright; 1 needs none.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_TIFF_WHITE_IS_ZERO = 0
_ROWS = 512  # that are copied at a time


def as_shown(image: Image.Image) -> np.ndarray:
    """Convert a loaded image of any mode to upright, opaque, 8-bit sRGB.

    Args:
        image: Unchanged, even if its EXIF data turn the result.

    Returns:
        (H, W, 3) uint8, writable and contiguous.

    Raises:
        ImageError: The value of white is unknown: signed, 32-bit, or floating-point pixels outside [0, 1].
    """
    image = _upright(image)
    colour, alpha = split_alpha(image)
    rgb = to_srgb(colour, image.info.get("icc_profile"))
    if alpha is not None:
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    return _array(rgb)


def _array(image: Image.Image) -> np.ndarray:
    """Copy the pixels, some rows at a time: Pillow's own way needs them in memory once more."""
    pixels = np.empty((image.height, image.width, len(image.getbands())), np.uint8)
    for top in range(0, image.height, _ROWS):
        bottom = min(top + _ROWS, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF data say.

    `ImageOps.exif_transpose` would change the caller's image or copy every image, and rejects damaged EXIF.
    """
    try:
        turn = _UPRIGHT.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))
    # Damaged EXIF raises nearly anything, and viewers show such an image as it is stored.
    except Exception:
        return image
    return image if turn is None else image.transpose(turn)


def reduce_colour_key(image: Image.Image) -> None:
    """Cut a 16-bit RGB colour key to its high byte, as Pillow does with the pixels; call before loading."""
    key = image.info.get("transparency")
    tiles = getattr(image, "tile", [])
    if isinstance(key, tuple) and any(";16" in str(tile[3]) for tile in tiles):
        image.info["transparency"] = tuple(value >> 8 for value in key)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the 8-bit colours and, if the image has transparency, its opacity (mode L)."""
    if image.mode == "F":
        return _grey_from_float(image), None
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _grey_from_integers(image)
    if not image.has_transparency_data:
        return image, None
    # Grey stays grey: a grey ICC profile fits no other mode.
    grey = image.mode in ("1", "L", "LA", "La")
    try:
        with_alpha = image.convert("LA" if grey else "RGBA")
    except (ValueError, TypeError, OverflowError):
        return image, None  # an impossible colour key
    return with_alpha.convert("L" if grey else "RGB"), with_alpha.getchannel("A")


def _grey_from_integers(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Scale 16-bit grey to 8 bit so that full scale is white: 65535 -> 255, by 1/257."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    # Unsigned 16-bit TIFF is "I;16"; mode "I" means signed or 32 bit, where the value of white is unknown.
    unscaled = image.mode == "I" and image.format == "TIFF"
    if unscaled or low < 0 or high > 65535:
        raise ImageError(f"signed or 32-bit integer pixels ({low} to {high}): save it with 8 or 16 bit")
    white = 4095 if tiff_tag(image, BITS_PER_SAMPLE) == 12 else 65535
    grey = ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    if tiff_tag(image, PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        grey = 255 - grey
    key = image.info.get("transparency")
    alpha = Image.fromarray((values != key).astype(np.uint8) * 255) if isinstance(key, int) else None
    return Image.fromarray(grey), alpha


def _grey_from_float(image: Image.Image) -> Image.Image:
    """Scale floating-point grey in [0, 1] to 8 bit."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # true for NaN as well
        raise ImageError(f"floating-point pixels from {low:g} to {high:g}: only 0 to 1 is supported")
    if tiff_tag(image, PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        values = 1 - values
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))
