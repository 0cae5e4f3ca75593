"""Pristine pictures by number: the image files of a folder, or drawn scenes.

Both are small descriptions that produce a picture at each call, so they are cheap to send to a data loader's
workers; a caller that needs a picture often should keep it.
"""

from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np

from grmp_plugin.config import SCENES
from grmp_plugin.data.images import pixels_digest, read_image
from grmp_plugin.data.pixel_room import decoding
from grmp_plugin.errors import ImageError, InputError
from grmp_plugin.synthetic.scenes import draw_scene

SMALLEST_SIDE = 96
"""Shortest side of a pristine picture in pixels: pseudo-MOS compares four scales."""

LARGEST_SHORT_SIDE = 384
"""Short side in pixels that larger pictures are reduced to; the levels of the distortions suit this size."""

DRAWN_SIDE = 256
"""Height and width of a drawn picture in pixels."""

DRAWN_SEEDS = (2**32, 2**33)
"""First seed of drawn pictures and the one after the last.

The demo uses seeds from 2**33 on. No embedded model was trained on drawn scenes.
"""


class Pictures(Protocol):
    """Pristine pictures, numbered from 0."""

    def __len__(self) -> int:
        """Number of pictures."""

    def __getitem__(self, number: int) -> np.ndarray:
        """Picture of that number, (H, W, 3) uint8 RGB; the same number gives the same bytes."""

    def name(self, number: int) -> str:
        """Unique name of the picture."""

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the decoded pixels of the files that were read so far, by path."""


@dataclass(frozen=True)
class PictureFiles:
    """Image files, reduced to a short side of at most `LARGEST_SHORT_SIDE`.

    Attributes:
        paths: The files.
        digests: Digests of the decoded pixels of those that were read so far, by path.
    """

    paths: tuple[str, ...]
    digests: dict[str, str] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> np.ndarray:
        """Read one file, (H, W, 3) uint8 RGB.

        Raises:
            ImageError: The file cannot be read, or a side is below `SMALLEST_SIDE`; the message names the
                file.
        """
        path = self.paths[number]
        image = read_named_image(path)
        if path not in self.digests:
            self.digests[path] = pixels_digest(image)
        height, width = image.shape[:2]
        short = min(height, width)
        if short < SMALLEST_SIDE:
            raise ImageError(
                f"'{path}': {width} x {height} pixels, too small for a pristine picture: "
                f"each side must be at least {SMALLEST_SIDE}"
            )
        if short <= LARGEST_SHORT_SIDE:
            return image
        scale = LARGEST_SHORT_SIDE / short
        return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)

    def name(self, number: int) -> str:
        """The file's path."""
        return self.paths[number]


@dataclass(frozen=True)
class DrawnPictures:
    """Drawn scenes of `DRAWN_SIDE` x `DRAWN_SIDE` pixels, the nine kinds in turn.

    Attributes:
        pictures: Number of pictures.
        seed: Seed for the choice of scenes, 0 or more.
    """

    pictures: int
    seed: int

    def __post_init__(self) -> None:
        """Reject negative numbers, quoting them."""
        if self.pictures < 0 or self.seed < 0:
            raise InputError(
                f"pictures and seed of drawn scenes must be 0 or more, not {self.pictures} and {self.seed}"
            )

    def __len__(self) -> int:
        return self.pictures

    @property
    def digests(self) -> dict[str, str]:
        """None, as nothing is read."""
        return {}

    def __getitem__(self, number: int) -> np.ndarray:
        """Draw one picture, (256, 256, 3) uint8 RGB."""
        return draw_scene(*self._scene(number), DRAWN_SIDE, DRAWN_SIDE)

    def name(self, number: int) -> str:
        """Kind and seed of the scene, as in `animal-4294967296`."""
        kind, seed = self._scene(number)
        return f"{kind}-{seed}"

    def _scene(self, number: int) -> tuple[str, int]:
        number = range(self.pictures)[number]  # raises the IndexError of a sequence
        rng = np.random.default_rng([self.seed, number])
        return SCENES[number % len(SCENES)], int(rng.integers(*DRAWN_SEEDS))


def read_named_image(path: str) -> np.ndarray:
    """Read an image as `read_image` does, with the path in the error message: (H, W, 3) uint8 RGB.

    Threads may call it: together they decode a bounded number of pixels at once.

    Raises:
        ImageError: The file cannot be read; the message names it.
    """
    try:
        with decoding() as reserve:
            return read_image(path, reserve=reserve)
    except ImageError as error:
        raise ImageError(f"'{path}': {error}") from error
