"""Raw photos (DNG and its kin): known by their content, and developed by rawpy where it is installed.

Many raw files are TIFF files whose first image is a small preview, which Pillow would read as the photo.
"""

import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from grmp_plugin.data.kinds import RAW, RAW_SUFFIXES
from grmp_plugin.data.pixel_room import Reserve
from grmp_plugin.data.tiff import NEW_SUBFILE_TYPE, PHOTOMETRIC, SUB_IFDS
from grmp_plugin.data.unreadable import reason, too_large
from grmp_plugin.errors import ImageError

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Raw files that are no TIFF: (offset, magic bytes).
_RAW_STARTS = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"MMOR"),
    (0, b"IIU\0"),
    (0, b"\0MRM"),
    (0, b"FOVb"),
    (0, b"II\x1a\0\0\0HEAPCCDR"),
    (4, b"ftypcrx "),
    (8, b"CR\x02\0"),
)
_DNG_VERSION = 50706
_SENSOR_VALUES = (32803, 34892)  # photometric interpretations: colour filter array, linear raw
_MOST_SUB_IFDS = 16


def is_raw(name: str, file: BinaryIO) -> bool:
    """Whether a file is a raw photo.

    Args:
        name: Its path: a TIFF with a camera's suffix is raw.
        file: Open at any place.
    """
    file.seek(0)
    prefix = file.read(16)
    if any(prefix[offset:].startswith(magic) for offset, magic in _RAW_STARTS):
        return True
    if not prefix.startswith(_TIFF_STARTS):
        return False
    if os.path.splitext(name)[1].lower() in RAW_SUFFIXES:
        return True
    # Damage may raise anything; then the file is no raw photo, and reading it says what is wrong.
    try:
        return _has_raw_tags(prefix, file)
    except Exception:
        return False


def is_raw_tags(tags: Mapping[int, Any]) -> bool:
    """Whether the tags of a TIFF image are those of a raw photo."""
    return _DNG_VERSION in tags or tags.get(PHOTOMETRIC) in _SENSOR_VALUES


def read_raw(file: BinaryIO, pixel_limit: int, reserve: Reserve) -> np.ndarray:
    """Develop a raw photo with the camera's white balance, in sRGB and upright.

    Args:
        file: Open at any place.
        pixel_limit: Largest width x height to decode, in pixels.
        reserve: Called with the number of pixels before they are decoded.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ImageError: Without rawpy, or when the file is damaged, too large or of an unknown camera.
    """
    if not RAW.installed:
        raise ImageError(f"{RAW.missing}; its preview is not scored")
    import rawpy

    file.seek(0)
    try:
        with rawpy.imread(file) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            if width * height > pixel_limit:
                raise ImageError(too_large(width, height, pixel_limit))
            reserve(width * height)
            pixels: np.ndarray = raw.postprocess(use_camera_wb=True, output_bps=8)
    except rawpy.LibRawError as error:
        # LibRaw's words come as bytes.
        words = [arg.decode(errors="replace") if isinstance(arg, bytes) else arg for arg in error.args]
        raise ImageError(reason(type(error)(*words), RAW.kind)) from error
    return np.ascontiguousarray(pixels)


def _has_raw_tags(prefix: bytes, file: BinaryIO) -> bool:
    from PIL import TiffImagePlugin

    header = prefix[:16] if prefix[2] == 43 else prefix[:8]  # 43: BigTIFF
    directory = TiffImagePlugin.ImageFileDirectory_v2(header)
    file.seek(directory.next)
    directory.load(file)
    if is_raw_tags(directory):
        return True
    if not directory.get(NEW_SUBFILE_TYPE, 0) & 1:
        return False
    offsets = directory.get(SUB_IFDS, ())
    for offset in (offsets if isinstance(offsets, tuple) else (offsets,))[:_MOST_SUB_IFDS]:
        below = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(offset)
        below.load(file)
        if is_raw_tags(below):
            return True
    return False
