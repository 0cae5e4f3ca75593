"""Images by name, whether they are files or already in memory."""

import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT, pillow_pixels, read_encoded, read_image
from grmp_plugin.data.pixel_room import Reserve, no_limit
from grmp_plugin.errors import ImageError

# The same Pillow image may be given twice, and loading one in two threads at once damages it.
_LOADING = threading.Lock()


class ImageSource(Protocol):
    """An image that can be read when its turn comes."""

    @property
    def name(self) -> str:
        """Path of the file, or another name that is unique among the images of a run."""

    def read(self, pixel_limit: int = DEFAULT_PIXEL_LIMIT, reserve: Reserve = no_limit) -> np.ndarray:
        """Decode the image.

        Args:
            pixel_limit: Largest width x height, in pixels, that is decoded.
            reserve: Called with the number of pixels before they are decoded; may wait.

        Returns:
            (H, W, 3) uint8, RGB, writable and contiguous.

        Raises:
            ImageError: When the image cannot be read; the message leaves out its name.
        """


@dataclass(frozen=True)
class FileImage:
    """An image file; its path is its name."""

    name: str

    def read(self, pixel_limit: int = DEFAULT_PIXEL_LIMIT, reserve: Reserve = no_limit) -> np.ndarray:
        """See `ImageSource`."""
        return read_image(self.name, pixel_limit=pixel_limit, reserve=reserve)


@dataclass(frozen=True, eq=False)
class ArrayImage:
    """Decoded pixels: (H, W, 3) uint8, RGB."""

    name: str
    pixels: np.ndarray

    def read(self, pixel_limit: int = DEFAULT_PIXEL_LIMIT, reserve: Reserve = no_limit) -> np.ndarray:
        """A copy of the pixels; the limit is for what is still to be decoded."""
        reserve(self.pixels.shape[0] * self.pixels.shape[1])
        return np.array(self.pixels, order="C")


@dataclass(frozen=True, eq=False)
class PillowImage:
    """A Pillow image, shown as the same image in a file would be."""

    name: str
    image: Image.Image

    def read(self, pixel_limit: int = DEFAULT_PIXEL_LIMIT, reserve: Reserve = no_limit) -> np.ndarray:
        """See `ImageSource`."""
        # Reserved first: whoever waits must not keep others from loading.
        reserve(self.image.width * self.image.height)
        with _LOADING:
            return pillow_pixels(self.image, pixel_limit=pixel_limit)


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image file under the name that a list gives it."""

    name: str
    path: str

    def read(self, pixel_limit: int = DEFAULT_PIXEL_LIMIT, reserve: Reserve = no_limit) -> np.ndarray:
        """See `ImageSource`."""
        return read_image(self.path, pixel_limit=pixel_limit, reserve=reserve)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """The content of an image file, from an archive or a table."""

    name: str
    file_name: str
    content: bytes

    def read(self, pixel_limit: int = DEFAULT_PIXEL_LIMIT, reserve: Reserve = no_limit) -> np.ndarray:
        """See `ImageSource`."""
        return read_encoded(self.content, self.file_name, pixel_limit=pixel_limit, reserve=reserve)


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """An image, or a shard of images, that is known to be unreadable."""

    name: str
    reason: str

    def read(self, pixel_limit: int = DEFAULT_PIXEL_LIMIT, reserve: Reserve = no_limit) -> np.ndarray:
        """Raise `ImageError` with the reason."""
        raise ImageError(self.reason)
