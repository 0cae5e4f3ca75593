"""Pictures as the page shows them: the pixels that are scored, as PNG without any metadata."""

import threading
from collections import OrderedDict

import cv2

from grmp_plugin.data.images import read_image
from grmp_plugin.data.pixel_room import PixelRoom
from grmp_plugin.errors import ImageError

_MOST_BYTES = 256_000_000  # of encoded pictures in memory
_MOST_PIXELS = 100_000_000  # decoded at once
# Of the settings of OpenCV's encoder, these give the smallest files of those that are quick: 1.2 MB and 0.1 s
# for a megapixel of a photograph, on a busy core.
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


class ShownPictures:
    """Encodes pictures, and keeps the latest; safe to use from several threads.

    Upright, in sRGB and in 8 bits, as `read_image` gives them to the network: raters see what is scored, and
    neither a file's name nor its metadata reach the page.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._room = PixelRoom(_MOST_PIXELS)

    def png(self, path: str) -> bytes:
        """The picture of a file.

        Raises:
            ImageError: When the file cannot be read any more.
        """
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        with self._room.entry() as reserve:
            pixels = read_image(path, reserve=reserve)
            done, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _PNG)
        if not done:
            raise ImageError("cannot be encoded for the page")
        content = encoded.tobytes()
        with self._lock:
            self._kept[path] = content
            while sum(map(len, self._kept.values())) > _MOST_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return content
