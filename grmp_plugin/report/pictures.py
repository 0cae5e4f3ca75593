"""Small pictures that are part of the page."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from grmp_plugin.data.images import read_image
from grmp_plugin.errors import ImageError

LONGEST_SIDE = 256
"""Of a picture, in pixels."""

_JPEG_QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """A picture, or the reason why there is none.

    Attributes:
        source: a data URI; empty where there is no picture.
        width: in pixels.
        height: in pixels.
        reason: why there is none; empty where there is one.
    """

    source: str = ""
    width: int = 0
    height: int = 0
    reason: str = ""


class Pictures:
    """Pictures of image files and their quality maps; each is read once, however often it is shown.

    Args:
        maps: quality maps, by the path of their image.
    """

    def __init__(self, maps: Mapping[str, Image.Image] | None = None) -> None:
        self._maps = maps or {}
        self._made: dict[str, tuple[Picture, Picture | None]] = {}

    def of(self, path: str) -> tuple[Picture, Picture | None]:
        """The image's picture, and that of its quality map where there is one."""
        if path not in self._made:
            overlay = self._maps.get(path)
            self._made[path] = (_read(path), None if overlay is None else _picture(overlay))
        return self._made[path]


def _read(path: str) -> Picture:
    try:
        return _picture(Image.fromarray(read_image(path)))
    except ImageError as error:
        return Picture(reason=str(error))


def _picture(image: Image.Image) -> Picture:
    small = image.convert("RGB")  # a copy, which `thumbnail` may change
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    code = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{code}", small.width, small.height)
