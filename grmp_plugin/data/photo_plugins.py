"""Kinds of photographs that Pillow reads only with a plugin, or only from some version on."""

from typing import Any, BinaryIO

import PIL
from PIL import ImageFile

from grmp_plugin.data import jpeg_xl
from grmp_plugin.data.kinds import HEIF, JPEG_XL, Extra, pillow_reads_avif
from grmp_plugin.data.unreadable import reason
from grmp_plugin.errors import ImageError

_AVIF_BRANDS = frozenset({b"avif", b"avis", b"avio"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
)
_MOST_BRANDS = 32


def plugin_needed(file: BinaryIO) -> Extra | None:
    """The plugin that a file needs, by its content; None where Pillow itself may read it.

    Raises:
        ImageError: When it is an AVIF file, and this Pillow does not read these.
    """
    file.seek(0)
    start = file.read(16 + 4 * _MOST_BRANDS)
    if start.startswith((jpeg_xl.CODESTREAM, jpeg_xl.CONTAINER)):
        return JPEG_XL
    brands = _brands(start)
    # Both kinds name the brands that they have in common, and an AVIF file always names its own.
    if brands & _AVIF_BRANDS:
        if not pillow_reads_avif():
            raise ImageError(
                f"AVIF: not supported by Pillow {PIL.__version__}: upgrade Pillow to 11.3 or later"
            )
        return None
    return HEIF if brands & _HEIF_BRANDS else None


def open_with(plugin: Extra, file: BinaryIO) -> ImageFile.ImageFile:
    """Open a file with a plugin.

    Raises:
        ImageError: When the plugin is not installed, or cannot open the file.
    """
    if not plugin.installed:
        raise ImageError(plugin.missing)
    opener: Any  # the packages may be missing, with their types
    if plugin is HEIF:
        from pillow_heif import HeifImageFile

        opener = HeifImageFile
    else:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile

        opener = JXLImageFile
    file.seek(0)
    try:
        opened: ImageFile.ImageFile = opener(file, "")
    except Exception as error:
        raise ImageError(reason(error, plugin.kind)) from error
    return opened


def _brands(start: bytes) -> set[bytes]:
    """The brands of a file in the ISO base media format, none for all others."""
    if start[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return {start[8:12], *(start[at : at + 4] for at in range(16, end - 3, 4))}
