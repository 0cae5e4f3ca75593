"""The mark by which a quality map is known as one, so that it is not scored as a photograph later."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

MAP_SUFFIX = ".map.png"
"""End of the names of quality maps."""

_KEY, _TEXT = "Software", "grmp-iqa quality map"
_CHUNK = b"tEXt" + f"{_KEY}\0{_TEXT}".encode()
_AT_MOST = 256  # bytes before the mark's end: Pillow writes texts right after the header


def map_mark() -> "PngInfo":
    """What to save with a quality map: `picture.save(path, pnginfo=map_mark())`."""
    from PIL.PngImagePlugin import PngInfo

    mark = PngInfo()
    mark.add_text(_KEY, _TEXT)
    return mark


def is_quality_map(path: str) -> bool:
    """Whether a file is a quality map: its name ends like one, and it carries the mark."""
    if not path.lower().endswith(MAP_SUFFIX):
        return False
    try:
        with open(path, "rb") as file:
            return _CHUNK in file.read(_AT_MOST)
    except (OSError, ValueError):
        return False
