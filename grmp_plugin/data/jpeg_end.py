"""JPEG files that lack nothing but their end: whether all pixels are there, and reading them then.

Pillow refuses a file without the end marker, whether that is all that is missing or half of the picture; and
libjpeg, which knows, tells it only in a warning that Pillow drops. So the file is decoded with several
different endings: pixels that are all there are the same whatever follows them.
"""

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image, ImageFile

_END = b"\xff\xd9"
# Bits for what may be missing: libjpeg's own, all zero, alternating, and nearly all one (0xFF is a marker).
_FILLINGS = (b"", b"\x00" * 64, b"\x55" * 64, b"\xfe" * 64)
_WITHOUT_CONTENT = (0x01, 0xD8)
_START_OF_SCAN = 0xDA
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # behind the data of a scan
_COEFFICIENTS = 64  # of a block


def without_end_marker(file: BinaryIO) -> ImageFile.ImageFile | None:
    """Open a JPEG that lacks its end marker, if all its pixels are there.

    Args:
        file: A JPEG file, open at any place.

    Returns:
        The image, loaded; None where pixels are missing.
    """
    file.seek(0)
    # Of a marker that was cut in half, the first byte is left.
    data = file.read().rstrip(b"\xff")
    if not _has_all_scans(data):
        return None
    whole = _decoded(data, _FILLINGS[0])
    pixels = whole.tobytes()
    if any(_decoded(data, filling).tobytes() != pixels for filling in _FILLINGS[1:]):
        return None
    return whole


def _decoded(data: bytes, filling: bytes) -> ImageFile.ImageFile:
    image = Image.OPEN["JPEG"][0](io.BytesIO(data + filling + _END), "")
    image.load()
    return image


def _has_all_scans(data: bytes) -> bool:
    """Whether the scans of a file, taken as complete, have every bit of every component's coefficients."""
    components: set[int] = set()
    precise: dict[int, set[int]] = {}  # component -> coefficients that are known to their last bit
    for marker, content in _segments(data):
        if marker in _START_OF_FRAME and len(content) >= 6:
            components = {content[6 + 3 * number] for number in range(content[5])}
        elif marker == _START_OF_SCAN:
            named, parameters = content[1 : 1 + 2 * content[0] : 2], content[1 + 2 * content[0] :]
            first, last, bits = parameters[:3]
            if bits & 0x0F == 0:
                for component in named:
                    precise.setdefault(component, set()).update(range(first, last + 1))
    everything = set(range(_COEFFICIENTS))
    return bool(components) and all(precise.get(one) == everything for one in components)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and content of each complete segment; a scan's content is its header."""
    position = 2
    while True:
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            return
        marker = found[0][1]
        position = found.end()
        if marker in _WITHOUT_CONTENT:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        content = data[position + 2 : position + length]
        if length < 2 or len(content) < length - 2:
            return
        yield marker, content
        position += length
