"""Small pictures embedded in the page."""

import base64
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from grmp_plugin.data.images import read_image
from grmp_plugin.data.sources import ImageSource
from grmp_plugin.errors import ImageError

LONGEST_SIDE = 256
"""Of a picture, in pixels."""

_JPEG_QUALITY = 80

Maps = Mapping[str, Image.Image | str | os.PathLike[str]]
"""Quality maps, or their files, by the path or name of the image."""


@dataclass(frozen=True)
class Picture:
    """A picture, or the reason why it is missing.

    Attributes:
        source: A data URI; empty where the picture is missing.
        width: Pixels.
        height: Pixels.
        reason: Why the picture is missing; empty otherwise.
    """

    source: str = ""
    width: int = 0
    height: int = 0
    reason: str = ""


class Pictures:
    """Pictures of images and of their quality maps; each image is read once, however often it is shown.

    Args:
        maps: Quality maps.
        sources: Images that are not files, by name; other names are paths.
    """

    def __init__(self, maps: Maps | None = None, sources: Mapping[str, ImageSource] | None = None) -> None:
        self._maps = maps or {}
        self._sources = sources or {}
        self._made: dict[str, tuple[Picture, Picture | None]] = {}

    def of(self, name: str) -> tuple[Picture, Picture | None]:
        """The picture of an image, and that of its quality map if it has one."""
        if name not in self._made:
            self._made[name] = (self._image(name), self._map(name))
        return self._made[name]

    def _image(self, name: str) -> Picture:
        try:
            return _picture(Image.fromarray(self._pixels(name)))
        except ImageError as error:
            return Picture(reason=str(error))

    def _pixels(self, name: str) -> np.ndarray:
        return self._sources[name].read() if name in self._sources else read_image(name)

    def _map(self, name: str) -> Picture | None:
        overlay = self._maps.get(name)
        if overlay is None:
            return None
        try:
            return _picture(
                overlay if isinstance(overlay, Image.Image) else Image.fromarray(read_image(overlay))
            )
        except ImageError as error:
            return Picture(reason=str(error))


def _picture(image: Image.Image) -> Picture:
    small = image.convert("RGB")  # a copy, which `thumbnail` may change
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    code = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{code}", small.width, small.height)
