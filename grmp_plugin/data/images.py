"""Decode image files to 8-bit sRGB as a viewer shows them, or say in one short line why that is impossible.

`Image.open` alone is not enough for folders of unknown files: its size limit can only be changed for the
whole process, and it does not say why a file of a known format failed.
"""

import hashlib
import io
import os
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from grmp_plugin.data import jpeg_xl
from grmp_plugin.data.jpeg2000 import has_deep_colour, read_deep_colour
from grmp_plugin.data.jpeg_end import without_end_marker
from grmp_plugin.data.kinds import JPEG_XL, RAW
from grmp_plugin.data.photo_plugins import open_with, plugin_needed
from grmp_plugin.data.pillow_guard import lifted_limit, pillow_guard
from grmp_plugin.data.pixel_room import Reserve, decoding, no_limit
from grmp_plugin.data.pixels import as_shown, reduce_colour_key
from grmp_plugin.data.raw_photos import is_raw, is_raw_tags, read_raw
from grmp_plugin.data.tiff import choose_page, prepare
from grmp_plugin.data.unreadable import (
    EMPTY,
    TRUNCATED,
    check_regular_file,
    ends_early,
    reason,
    too_large,
    unknown_kind,
)
from grmp_plugin.errors import ImageError

DEFAULT_PIXEL_LIMIT = 200_000_000
"""Largest width x height that is decoded: 600 MB as RGB; above any camera, below most decompression bombs."""

# Pillow reads EPS by running Ghostscript; files of unknown origin must not run programs.
_EXCLUDED_FORMATS = frozenset({"EPS"})


def pixels_digest(image: np.ndarray) -> str:
    """SHA-256 of decoded pixels, (H, W, 3) uint8: equal for all files that show the same picture."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def file_pixels_digest(path: str) -> str | None:
    """The digest of the decoded pixels of a file, to be called in threads; None where it cannot be read."""
    try:
        return pixels_digest(read_in_room(path))
    except ImageError:
        return None


def read_image(
    path: str | os.PathLike[str],
    *,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    reserve: Reserve = no_limit,
) -> np.ndarray:
    """Read an image file as a viewer shows it.

    The EXIF orientation is applied, transparency is laid over white, an embedded ICC profile is converted to
    sRGB, 16-bit values are scaled to 8 bit, and only the first frame or page is read. Untagged or sRGB files
    of 8 bit keep their exact values. A raw photo is developed, never read by its preview. Safe to call from
    several threads at once.

    Args:
        path: A regular file, or a link to one.
        pixel_limit: Largest width x height to decode, in pixels; checked in the header.
        reserve: Called with the number of pixels before they are decoded; may wait.

    Returns:
        (H, W, 3) uint8, RGB, writable and contiguous.

    Raises:
        ImageError: The file is missing, not an image, damaged, truncated, too large, unreadable, or of a kind
            that needs a package which is not installed. The message is short and omits the path, for a table
            whose row names it.
    """
    name = os.fspath(path)
    check_regular_file(name)
    return _read(name, lambda: open(name, "rb"), pixel_limit, reserve)


def read_in_room(path: str) -> np.ndarray:
    """Read an image file as `read_image`, as soon as there is room for its pixels (see `pixel_room`)."""
    with decoding() as reserve:
        return read_image(path, reserve=reserve)


def read_encoded(
    content: bytes,
    name: str,
    *,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    reserve: Reserve = no_limit,
) -> np.ndarray:
    """Decode the content of an image file exactly as `read_image` decodes the file.

    Args:
        content: Bytes of the file.
        name: Its name: the suffix tells some raw photos from TIFF files.
        pixel_limit: Largest width x height to decode, in pixels.
        reserve: Called with the number of pixels before they are decoded; may wait.

    Returns:
        (H, W, 3) uint8, RGB, writable and contiguous.

    Raises:
        ImageError: As for `read_image`.
    """
    if not content:
        raise ImageError(EMPTY)
    return _read(name, lambda: io.BytesIO(content), pixel_limit, reserve)


def _read(name: str, opened: Callable[[], BinaryIO], pixel_limit: int, reserve: Reserve) -> np.ndarray:
    with pillow_guard():
        try:
            return _decode(name, opened, pixel_limit, reserve)
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
        ImageError: When the image has no pixels, is too large, cannot be loaded, or is the preview of a raw
            photo.
    """
    if is_raw_tags(getattr(image, "tag_v2", {})):
        raise ImageError(f"{RAW.kind}: Pillow reads only its preview; give its path")
    _check_size(image.size, pixel_limit)
    if not image.width * image.height:
        raise ImageError(f"no pixels: {image.width} x {image.height}")
    with pillow_guard():
        try:
            return as_shown(_loaded(image))
        except ImageError:
            raise
        # As for files: whatever a plugin raises, this image is at fault.
        except Exception as error:
            raise ImageError(reason(error, image.format)) from error


def _decode(name: str, opened: Callable[[], BinaryIO], pixel_limit: int, reserve: Reserve) -> np.ndarray:
    try:
        return _decode_once(name, opened, pixel_limit, reserve)
    except Image.DecompressionBombError:
        # TIFF and WebP beyond Pillow's own limit (179 million pixels by default): rare, so one at a time.
        with lifted_limit(pixel_limit):
            return _decode_once(name, opened, pixel_limit, reserve)


def _decode_once(name: str, opened: Callable[[], BinaryIO], pixel_limit: int, reserve: Reserve) -> np.ndarray:
    with opened() as file:
        if is_raw(name, file):
            return read_raw(file, pixel_limit, reserve)
        plugin = plugin_needed(file)
        if plugin is JPEG_XL and plugin.installed:  # decodes what it opens
            _admit(jpeg_xl.size(file), pixel_limit, reserve)
        image = _open_header(file) if plugin is None else open_with(plugin, file)
        choose_page(image)
        _admit(image.size, pixel_limit, reserve)
        return as_shown(_loaded(image))


def _admit(size: tuple[int, int], pixel_limit: int, reserve: Reserve) -> None:
    _check_size(size, pixel_limit)
    reserve(size[0] * size[1])


def _check_size(size: tuple[int, int], pixel_limit: int) -> None:
    if size[0] * size[1] > pixel_limit:
        raise ImageError(too_large(*size, pixel_limit))


def _loaded(image: Image.Image) -> Image.Image:
    """The image with its pixels; another object where Pillow's own decoding would be wrong."""
    reduce_colour_key(image)
    prepare(image)
    if has_deep_colour(image):
        return read_deep_colour(image)
    file = getattr(image, "fp", None)
    try:
        image.load()
    except (Image.DecompressionBombError, MemoryError):
        raise
    except Exception as error:
        why = reason(error, image.format)
        # An MPO is a JPEG with more pictures behind the first.
        if why == TRUNCATED and image.format in ("JPEG", "MPO") and file is not None:
            whole = without_end_marker(file)
            if whole is not None:
                return whole
        raise ImageError(why) from error
    return image


def _open_header(file: BinaryIO) -> ImageFile.ImageFile:
    """Find the plugin that understands a file, without decoding pixels; see the module for `Image.open`."""
    file.seek(0)
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
    if failures and ends_early(prefix, file.seek(0, os.SEEK_END)):
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
