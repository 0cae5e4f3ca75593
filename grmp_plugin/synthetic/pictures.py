"""Pristine pictures by number: the image files of a folder, or drawn scenes.

Both are plain descriptions that make a picture anew at each call, so that they are small when they are
sent to a data loader's workers; whoever needs a picture often keeps it.
"""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from grmp_plugin.config import SCENES
from grmp_plugin.data.images import read_image
from grmp_plugin.errors import ImageError, InputError
from grmp_plugin.synthetic.scenes import draw_scene

SMALLEST_SIDE = 96
"""Shortest side of a pristine picture in pixels: pseudo-MOS compares four scales."""

LARGEST_SHORT_SIDE = 384
"""Short side in pixels that larger pictures are reduced to: the distortions' levels are made for it."""

DRAWN_SIDE = 256
"""Height and width of a drawn picture in pixels."""

DRAWN_SEEDS = (2**32, 2**33)
"""First seed of drawn pictures and the one after the last.

The demo's ratings begin at 2**33. No embedded model was trained on drawn scenes.
"""


class Pictures(Protocol):
    """Pristine pictures, numbered from 0."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, number: int) -> np.ndarray:
        """Picture of that number, (H, W, 3) uint8 RGB; the same number gives the same bytes."""

    def name(self, number: int) -> str:
        """What tells the picture from the others."""


@dataclass(frozen=True)
class PictureFiles:
    """Image files, reduced to a short side of at most `LARGEST_SHORT_SIDE`.

    Attributes:
        paths: the files.
    """

    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> np.ndarray:
        """Read one file, (H, W, 3) uint8 RGB.

        Raises:
            ImageError: it cannot be read, or a side is below `SMALLEST_SIDE`; the message names it.
        """
        path = self.paths[number]
        image = read_named_image(path)
        height, width = image.shape[:2]
        short = min(height, width)
        if short < SMALLEST_SIDE:
            raise ImageError(
                f"'{path}': {width} x {height} pixels are too few for a pristine picture: "
                f"each side needs {SMALLEST_SIDE}"
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
        pictures: how many.
        seed: which ones, 0 or more.
    """

    pictures: int
    seed: int

    def __post_init__(self) -> None:
        """Reject what cannot be drawn, quoting the values."""
        if self.pictures < 0 or self.seed < 0:
            raise InputError(
                f"pictures and seed of drawn scenes are 0 or more, not {self.pictures} and {self.seed}"
            )

    def __len__(self) -> int:
        return self.pictures

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
    """As `read_image`, for where no table names the file: (H, W, 3) uint8 RGB.

    Raises:
        ImageError: the file cannot be read; the message names it.
    """
    try:
        return read_image(path)
    except ImageError as error:
        raise ImageError(f"'{path}': {error}") from error
