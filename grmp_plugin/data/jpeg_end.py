"""JPEG files that lack nothing but their end: whether all pixels are there, and reading them then.

Pillow refuses a file without the end marker, whether that is all that is missing or half of the picture; and
libjpeg, which knows, tells it only in a warning that Pillow drops. So the file is decoded with several
different endings: pixels that are all there are the same whatever follows them.
"""

import io
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from PIL import Image, ImageFile

_END = b"\xff\xd9"
# Bits for what may be missing: none, so that libjpeg makes do; all zero; alternating; and nearly all one,
# since 0xFF begins a marker.
_FILLINGS = (b"", b"\x00" * 64, b"\x55" * 64, b"\xfe" * 64)
_WITHOUT_CONTENT = (0x01, 0xD8)
_START_OF_SCAN, _RESTART_INTERVAL = 0xDA, 0xDD
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # behind the data of a scan
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_COEFFICIENTS = 64  # of a block
_BLOCK = 8  # pixels


class _Segment(NamedTuple):
    marker: int
    content: bytes
    end: int  # where the data of a scan begin


class _Frame(NamedTuple):
    height: int
    width: int
    factors: dict[int, tuple[int, int]]  # component -> samples across and down, in a unit of the picture


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
    if not _may_be_whole(data):
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


def _may_be_whole(data: bytes) -> bool:
    """Whether nothing can be missing but the end of the last restart interval of the last scan."""
    frame, scan, interval = None, None, 0
    precise: dict[int, set[int]] = {}  # component -> coefficients that are known to their last bit
    for segment in _segments(data):
        content = segment.content
        if segment.marker in _START_OF_FRAME and len(content) > 6:
            frame = _frame(content)
        elif segment.marker == _RESTART_INTERVAL:
            interval = int.from_bytes(content, "big")
        elif segment.marker == _START_OF_SCAN and len(content) == 4 + 2 * content[0]:
            scan = segment
            first, last, bits = content[-3:]
            if bits & 0x0F == 0:
                for component in content[1:-3:2]:
                    precise.setdefault(component, set()).update(range(first, last + 1))
    if frame is None or scan is None:
        return False
    everything = set(range(_COEFFICIENTS))
    if not all(precise.get(component) == everything for component in frame.factors):
        return False
    intervals = _ceil(_units(frame, scan.content[1:-3:2]), interval) if interval else 1
    return len(_RESTART.findall(data, scan.end)) >= intervals - 1


def _frame(content: bytes) -> _Frame:
    height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    named = zip(content[6::3], content[7::3], strict=False)
    return _Frame(height, width, {component: (factor >> 4, factor & 0x0F) for component, factor in named})


def _units(frame: _Frame, components: bytes) -> int:
    """How many units (MCUs) a scan of these components has: ISO/IEC 10918-1, A.2."""
    most = [max(1, *(factors[axis] for factors in frame.factors.values())) for axis in (0, 1)]
    count = 1
    for axis, side in enumerate((frame.width, frame.height)):
        if len(components) == 1:
            own = frame.factors.get(components[0], (1, 1))[axis]
            count *= _ceil(_ceil(side * own, most[axis]), _BLOCK)
        else:
            count *= _ceil(side, _BLOCK * most[axis])
    return count


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the complete segments of a file; a scan's content is its header."""
    position = 2
    while True:
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            return
        position = found.end()
        marker = found[0][1]
        if marker in _WITHOUT_CONTENT:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        content = data[position + 2 : position + length]
        if length < 3 or len(content) < length - 2:
            return
        position += length
        yield _Segment(marker, content, position)
