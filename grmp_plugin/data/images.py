"""Decode image files to 8-bit sRGB as a viewer shows them, or say in one short line why that is impossible.

`Image.open` alone is not enough for folders of unknown files: its size limit can only be changed for the
whole process, and it does not say why a file of a known format failed.
"""

import hashlib
import os
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from grmp_plugin.data.pillow_guard import lifted_limit, pillow_guard
from grmp_plugin.data.pixels import as_shown, reduce_colour_key
from grmp_plugin.data.unreadable import TRUNCATED, check_regular_file, ends_early, reason, unknown_kind
from grmp_plugin.errors import ImageError

DEFAULT_PIXEL_LIMIT = 200_000_000
"""Largest width x height that is decoded: 600 MB as RGB; above any camera, below most decompression bombs."""

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif", ".bmp", ".dib", ".tga",
    ".tif", ".tiff", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm",
})
# fmt: on
"""Lower-case suffixes that a folder is searched for: common formats that Pillow reads by itself."""

# Pillow reads EPS by running Ghostscript; files of unknown origin must not run programs.
_EXCLUDED_FORMATS = frozenset({"EPS"})


def pixels_digest(image: np.ndarray) -> str:
    """SHA-256 of decoded pixels, (H, W, 3) uint8: equal for all files that show the same picture."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def read_image(path: str | os.PathLike[str], *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> np.ndarray:
    """Read an image file as a viewer shows it.

    The EXIF orientation is applied, transparency is laid over white, an embedded ICC profile is converted to
    sRGB, 16-bit grey is scaled to 8 bit, and only the first frame or page is read. Untagged or sRGB files of
    8 bit keep their exact values. Safe to call from several threads at once.

    Args:
        path: A regular file, or a link to one.
        pixel_limit: Largest width x height to decode, in pixels; checked in the header.

    Returns:
        (H, W, 3) uint8, RGB, writable and contiguous.

    Raises:
        ImageError: The file is missing, not an image, damaged, truncated, too large or unreadable. The
            message is short and omits the path, for a table whose row names it.
    """
    name = os.fspath(path)
    check_regular_file(name)
    with pillow_guard():
        try:
            return _decode(name, pixel_limit)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError(f"larger than the limit of {pixel_limit:,} pixels") from error
        # On garbage Pillow's plugins raise nearly anything; whatever it is, only this file is at fault.
        except Exception as error:
            raise ImageError(reason(error)) from error


def pillow_pixels(image: Image.Image, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> np.ndarray:
    """Decode a Pillow image exactly as `read_image` decodes a file with its content and metadata.

    Args:
        image: In any mode, loaded or not; a file that it was opened from must still be open.
        pixel_limit: Largest width x height, in pixels.

    Returns:
        (H, W, 3) uint8, RGB, writable and contiguous.

    Raises:
        ImageError: When the image has no pixels, is too large or cannot be loaded.
    """
    width, height = image.size
    if width * height > pixel_limit:
        raise ImageError(_too_large(width, height, pixel_limit))
    if not width * height:
        raise ImageError(f"no pixels: {width} x {height}")
    with pillow_guard():
        try:
            reduce_colour_key(image)
            image.load()
            return as_shown(image)
        except ImageError:
            raise
        # As for files: whatever a plugin raises, this image is at fault.
        except Exception as error:
            raise ImageError(reason(error, image.format)) from error


def _decode(name: str, pixel_limit: int) -> np.ndarray:
    try:
        return _decode_once(name, pixel_limit)
    except Image.DecompressionBombError:
        # TIFF and WebP beyond Pillow's own limit (179 million pixels by default): rare, so one at a time.
        with lifted_limit(pixel_limit):
            return _decode_once(name, pixel_limit)


def _decode_once(name: str, pixel_limit: int) -> np.ndarray:
    with open(name, "rb") as file:
        image = _open_header(file)
        width, height = image.size
        if width * height > pixel_limit:
            raise ImageError(_too_large(width, height, pixel_limit))
        reduce_colour_key(image)
        _load(image)
        return as_shown(image)


def _load(image: ImageFile.ImageFile) -> None:
    try:
        image.load()
    except (Image.DecompressionBombError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(reason(error, image.format)) from error


def _open_header(file: BinaryIO) -> ImageFile.ImageFile:
    """Find the plugin that understands a file, without decoding pixels; see the module for `Image.open`."""
    prefix = file.read(16)
    failures: list[str] = []
    tried = set(_EXCLUDED_FORMATS)
    # The common formats first: importing all plugins takes a while.
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for format_name in tuple(Image.ID):
            if format_name not in tried:
                tried.add(format_name)
                image = _try_format(format_name, file, prefix, failures)
                if image is not None:
                    return image
    if failures and ends_early(prefix, os.fstat(file.fileno()).st_size):
        raise ImageError(TRUNCATED)
    raise ImageError(failures[0] if failures else unknown_kind(prefix))


def _try_format(
    format_name: str, file: BinaryIO, prefix: bytes, failures: list[str]
) -> ImageFile.ImageFile | None:
    factory, accept = Image.OPEN[format_name]
    verdict = accept is None or _verdict(accept, prefix)
    if isinstance(verdict, str):
        failures.append(verdict)
    if verdict is not True:
        return None
    try:
        file.seek(0)
        return factory(file, "")
    except (Image.DecompressionBombError, MemoryError):
        raise
    except Exception as error:
        # A plugin that accepts any file and then fails says nothing about this one.
        if accept:
            failures.append(reason(error, format_name))
    return None


def _verdict(accept: Callable[[bytes], bool | str], prefix: bytes) -> bool | str:
    """Ask a plugin whether a file starts like its format; a string says that this Pillow build lacks it."""
    try:
        verdict = accept(prefix)
    except Exception:  # the file is too short for this plugin's check
        return False
    return verdict if isinstance(verdict, str) else bool(verdict)


def _too_large(width: int, height: int, pixel_limit: int) -> str:
    return f"{width} x {height} = {width * height:,} pixels, above the limit of {pixel_limit:,}"
