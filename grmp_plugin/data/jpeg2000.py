"""JPEG 2000 with more than 8 bits a channel: read by OpenCV, since Pillow's rounding turns white into black.

Pillow adds half a step and shifts to 8 bits without a limit, so that the brightest values become 256, which
its bytes keep as 0.
"""

import struct
from typing import BinaryIO

import numpy as np
from PIL import Image

from grmp_plugin.errors import ImageError

_CODESTREAM = b"\xff\x4f\xff\x51"
_SRGB = 16  # the colour box's number of sRGB
_MOST_CHANNELS = 16
_SILENT = 0  # OpenCV's level of messages


def has_deep_colour(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet is a JPEG 2000 of several channels with more than 8 bits.

    Raises:
        ImageError: For a palette that Pillow ignores.
    """
    file = getattr(image, "fp", None)
    if image.format != "JPEG2000" or file is None:
        return False
    file.seek(0)
    header, depths = _header(file.read())
    if b"pclr" in header and image.mode in ("L", "LA"):
        raise ImageError("JPEG 2000 with a palette of an unsupported kind: save it without one")
    return len(depths) > 1 and max(depths) > 8


def read_deep_colour(image: Image.Image) -> Image.Image:
    """Decode such an image to 8 bits, by 255 over the largest value.

    Returns:
        RGB, or RGBA where there are four channels.

    Raises:
        ImageError: For signed values, other colour spaces, and whatever OpenCV does not read.
    """
    file: BinaryIO = image.fp  # type: ignore[attr-defined]
    file.seek(0)
    data = file.read()
    header, depths = _header(data)
    depth = max(depths)
    values = _decode(data) if len(set(depths)) == 1 and _is_srgb(header) else None
    shape = (image.height, image.width, len(depths))
    if values is None or values.shape != shape or values.dtype != np.uint16 or len(depths) not in (3, 4):
        raise ImageError(f"JPEG 2000 with {depth}-bit colours of an unsupported kind: save it with 8 bit")
    white = (1 << depth) - 1
    pixels = np.empty(shape, np.uint8)
    for row, line in zip(values, pixels, strict=True):
        line[...] = (row.astype(np.uint32) * 255 + white // 2) // white
    # OpenCV has blue first.
    pixels[..., :3] = pixels[..., 2::-1]
    return Image.fromarray(pixels)


def _header(data: bytes) -> tuple[bytes, list[int]]:
    """What precedes the codestream, and the bits of each channel; more than 16 for signed values."""
    at = data.find(_CODESTREAM)
    sizes = data[at + 4 : at + 4 + 38 + 3 * _MOST_CHANNELS]
    if at < 0 or len(sizes) < 41:
        raise ImageError("damaged or unsupported JPEG2000: no codestream")
    (channels,) = struct.unpack_from(">H", sizes, 36)
    found = sizes[38 : 38 + 3 * channels : 3]
    return data[:at], [(depth & 0x7F) + 1 + (32 if depth & 0x80 else 0) for depth in found]


def _is_srgb(header: bytes) -> bool:
    """Whether the colours are sRGB, unnamed, or described by an ICC profile, as OpenCV takes them."""
    at = header.find(b"colr")
    if at < 0 or header[at + 4 : at + 5] != b"\x01":
        return True
    return int.from_bytes(header[at + 7 : at + 11], "big") == _SRGB


def _decode(data: bytes) -> np.ndarray | None:
    import cv2

    # OpenCV 5 has these functions in a module, OpenCV 4 has them at the top.
    logging = getattr(cv2.utils, "logging", cv2)
    level = logging.getLogLevel()
    logging.setLogLevel(_SILENT)
    try:
        found: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return found
    finally:
        logging.setLogLevel(level)
