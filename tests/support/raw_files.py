"""Raw photos as small as they can be: TIFF files that begin with a preview."""

import struct

import numpy as np

PREVIEW = (40, 60)
"""Height and width of the preview."""
SENSOR = (128, 192)
"""Height and width of the sensor's values."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 10: 8}
_CODES = {1: "B", 3: "H", 4: "I"}


def _directory(entries: list[tuple[int, int, list[int] | bytes]], at: int) -> bytes:
    """A TIFF directory that stands at an offset, with its values behind it; no other follows it."""
    table, values = struct.pack("<H", len(entries)), b""
    behind = at + 2 + 12 * len(entries) + 4
    for tag, kind, content in sorted(entries):
        if isinstance(content, bytes):
            packed, count = content, len(content) // _SIZES[kind]
        else:
            packed, count = struct.pack(f"<{len(content)}{_CODES[kind]}", *content), len(content)
        if len(packed) <= 4:
            field = packed.ljust(4, b"\0")
        else:
            field = struct.pack("<I", behind + len(values))
            values += packed + b"\0" * (len(packed) % 2)
        table += struct.pack("<HHI", tag, kind, count) + field
    return table + b"\0\0\0\0" + values


def dng(*, marked: bool = True, sensor: bool = True) -> bytes:
    """A DNG: a preview of noise, and a sensor's values, dark on the left and bright on the right.

    Args:
        marked: Whether it says that it is a DNG; else it is only built like one, as a NEF is.
        sensor: Whether what follows the preview are a sensor's values, or an ordinary picture in grey.
    """
    preview = np.random.default_rng(0).integers(0, 256, (*PREVIEW, 3)).astype(np.uint8).tobytes()
    values = np.tile(np.linspace(500, 50_000, SENSOR[1]).astype("<u2"), (SENSOR[0], 1)).tobytes()
    first = 8 + len(preview) + len(values)
    identity = b"".join(struct.pack("<ii", int(row == column), 1) for row in range(3) for column in range(3))
    entries: list[tuple[int, int, list[int] | bytes]] = [
        (254, 4, [1]),
        (256, 3, [PREVIEW[1]]),
        (257, 3, [PREVIEW[0]]),
        (258, 3, [8, 8, 8]),
        (259, 3, [1]),
        (262, 3, [2]),
        (271, 2, b"Maker\0"),
        (272, 2, b"Model\0"),
        (273, 4, [8]),
        (277, 3, [3]),
        (278, 3, [PREVIEW[0]]),
        (279, 4, [len(preview)]),
        (330, 4, [0]),
    ]
    if marked:
        entries += [
            (50706, 1, [1, 4, 0, 0]),
            (50708, 2, b"Maker Model\0"),
            (50721, 10, identity),
            (50778, 3, [21]),
        ]
    second = first + len(_directory(entries, first))
    entries[12] = (330, 4, [second])
    picture: list[tuple[int, int, list[int] | bytes]] = [
        (254, 4, [0]),
        (256, 3, [SENSOR[1]]),
        (257, 3, [SENSOR[0]]),
        (258, 3, [16]),
        (259, 3, [1]),
        (262, 3, [32803 if sensor else 1]),
        (273, 4, [8 + len(preview)]),
        (277, 3, [1]),
        (278, 3, [SENSOR[0]]),
        (279, 4, [len(values)]),
    ]
    if sensor:
        picture += [(33421, 3, [2, 2]), (33422, 1, [0, 1, 1, 2])]
    header = b"II*\0" + struct.pack("<I", first)
    return header + preview + values + _directory(entries, first) + _directory(picture, second)
