"""The size of a JPEG XL image, from its header.

The plugin for Pillow decodes all pixels before it tells their number; a decompression bomb must be refused
before that. Format: ISO/IEC 18181-1 (codestream) and 18181-2 (container).
"""

import struct
from typing import BinaryIO

from grmp_plugin.errors import ImageError

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\x00\x00\x00\x0cJXL "

# Width as a fraction of the height, by the field `ratio` of the size header.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIDE_BITS = (9, 13, 18, 30)
_HEADER_BYTES = 16  # more than the longest size header has


def size(file: BinaryIO) -> tuple[int, int]:
    """Width and height in pixels.

    Args:
        file: Open at any place.

    Raises:
        ImageError: When there is no size in it.
    """
    header = _codestream(file)
    if not header.startswith(CODESTREAM) or len(header) < 4:
        raise ImageError("damaged or unsupported JPEG XL: no codestream")
    bits = _Bits(header[2:].ljust(_HEADER_BYTES, b"\0"))
    in_eights = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if in_eights else bits.take(_SIDE_BITS[bits.take(2)]) + 1

    height = side()
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height * across // down, height
    return side(), height


class _Bits:
    """Reads numbers bit by bit, lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value


def _codestream(file: BinaryIO) -> bytes:
    """The first bytes of the codestream, alone or in a container's boxes."""
    file.seek(0)
    start = file.read(_HEADER_BYTES)
    if not start.startswith(CONTAINER):
        return start
    position = 0
    while True:
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return b""
        length, kind = struct.unpack(">I4s", head[:8])
        content = 8
        if length == 1 and len(head) == 16:
            length, content = int.from_bytes(head[8:], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            # A partial codestream begins with its number.
            file.seek(position + content + (4 if kind == b"jxlp" else 0))
            return file.read(_HEADER_BYTES)
        if length < content:  # the last box, or damage
            return b""
        position += length
