"""TIFF files that Pillow would read wrongly: previews first, separate planes, signed bytes."""

from typing import Any

import PIL
from PIL import Image, ImageFile

from grmp_plugin.errors import ImageError

NEW_SUBFILE_TYPE, SUBFILE_TYPE = 254, 255
BITS_PER_SAMPLE = 258
PHOTOMETRIC = 262
SUB_IFDS = 330
_PLANAR_CONFIGURATION, _SEPARATE = 284, 2
_SAMPLE_FORMAT, _SIGNED = 339, 2
_REDUCED, _OLD_REDUCED = 1, 2
_MOST_PAGES = 1000  # that are looked at for a picture behind a preview

# Whether this Pillow tells libtiff's decoder the name of the compression, which the decoder does not use.
_NAMES_COMPRESSION = int(PIL.__version__.partition(".")[0]) < 13

# Modes whose channels libtiff and Pillow put together rightly from separate planes.
_FROM_PLANES = ("RGB", "RGBA", "CMYK")


def tiff_tag(image: Image.Image, tag: int) -> object:
    """Return the first value of a tag, or None if the image is not a TIFF or lacks it."""
    value = getattr(image, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) and value else value


def choose_page(image: ImageFile.ImageFile) -> None:
    """Go to the first page that is a picture, where the file begins with a smaller preview of it.

    Raises:
        ImageError: When the picture itself is where Pillow does not look.
    """
    if image.format != "TIFF" or not _is_preview(image):
        return
    behind = tiff_tag(image, SUB_IFDS) is not None
    try:
        for page in range(1, _MOST_PAGES):
            image.seek(page)
            if not _is_preview(image):
                return
    except EOFError:
        if behind:
            raise ImageError("TIFF that begins with a preview: save the picture as a plain TIFF") from None
        image.seek(0)  # nothing but this page: it is the picture, whatever its tag says


def prepare(image: Image.Image) -> None:
    """Have a TIFF that is not loaded yet decoded rightly.

    Raises:
        ImageError: When it cannot be.
    """
    if getattr(image, "tag_v2", None) is None or not getattr(image, "tile", None):
        return
    if image.mode == "L" and tiff_tag(image, _SAMPLE_FORMAT) == _SIGNED:
        raise ImageError("signed 8-bit pixels: save it with unsigned ones")
    if image.mode == "F" and image.use_load_libtiff:  # type: ignore[attr-defined]
        # Pillow takes what libtiff decodes for big-endian where the file is; libtiff has turned it already.
        image.tile = [_like(tile, (*tile[:3], ("F;32NF", *tile[3][1:]))) for tile in image.tile]  # type: ignore[attr-defined]
    if tiff_tag(image, _PLANAR_CONFIGURATION) != _SEPARATE or len(image.getbands()) == 1:
        return
    if image.mode not in _FROM_PLANES:
        raise ImageError(f"TIFF with separate planes of {image.mode}: save it with interleaved samples")
    if not image.use_load_libtiff:  # type: ignore[attr-defined]
        # Pillow itself reads uncompressed planes as bytes, whatever their depth; libtiff knows better.
        rawmode = image.mode + (";16N" if tiff_tag(image, BITS_PER_SAMPLE) == 16 else "")
        # The whole picture as one tile, as it is stored: `size` may be that of the upright one.
        tiles: Any = image.tile  # type: ignore[attr-defined]
        right, bottom = (max(tile[1][side] for tile in tiles) for side in (2, 3))
        compression = ("raw",) if _NAMES_COMPRESSION else ()
        arguments = (rawmode, *compression, False, image.tag_v2.offset)  # type: ignore[attr-defined]
        whole = _like(tiles[0], ("libtiff", (0, 0, right, bottom), 0, arguments))
        image.tile = [whole]  # type: ignore[attr-defined]
        image.use_load_libtiff = True  # type: ignore[attr-defined]


def _like(tile: Any, parts: tuple[Any, ...]) -> Any:
    """A tile of the type that this Pillow has: a tuple, named from 11.0 on."""
    return type(tile)(*parts) if hasattr(tile, "_fields") else parts


def _is_preview(image: Image.Image) -> bool:
    new, old = tiff_tag(image, NEW_SUBFILE_TYPE), tiff_tag(image, SUBFILE_TYPE)
    return (isinstance(new, int) and bool(new & _REDUCED)) or old == _OLD_REDUCED
