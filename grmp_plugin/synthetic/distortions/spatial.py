"""Misplaced and missing pixels."""

import cv2
import numpy as np

from grmp_plugin.synthetic.distortions.arrays import smooth_field

WARP_SPACING = 28
BLOCK_SIDE = 16
LOST_GREY = 128


def jitter(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Replace each pixel by a random neighbour.

    Args:
        image: (H, W, 3) uint8 RGB.
        deviation: Standard deviation of the displacement in pixels, along each axis.
        rng: Draws the displacements.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    displacement = rng.standard_normal((*image.shape[:2], 2), dtype=np.float32)
    return _displaced(image, displacement * np.float32(deviation))


def warp(image: np.ndarray, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """Bend the picture by a smooth random displacement (elastic).

    Args:
        image: (H, W, 3) uint8 RGB.
        amplitude: Standard deviation of the displacement at its nodes in pixels.
        rng: Draws the displacements.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    return _displaced(image, smooth_field(height, width, WARP_SPACING, 2, rng) * np.float32(amplitude))


def block_loss(image: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Lose square blocks as in a broken transmission: half turn grey, half show another part of the picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        fraction: Share of lost blocks, in [0, 1]; at least one block is lost.
        rng: Draws the blocks; one lost at some level is lost at all higher levels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    # Smaller blocks for thumbnails, where losing a single large one would wipe out the picture.
    side = min(BLOCK_SIDE, min(height, width) // 4)
    corners = [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
    order = rng.permutation(len(corners))
    # Drawn for all blocks, so that what replaces a block does not depend on the level.
    grey = rng.random(len(corners)) < 0.5
    sources = rng.random((len(corners), 2))
    broken = image.copy()
    for index in order[: max(1, round(fraction * len(corners)))]:
        top, left = corners[index]
        block = broken[top : top + side, left : left + side]
        rows, columns = block.shape[:2]
        if grey[index]:
            block[:] = LOST_GREY
        else:
            row = int(sources[index, 0] * (height - rows))
            column = int(sources[index, 1] * (width - columns))
            block[:] = image[row : row + rows, column : column + columns]
    return broken


def _displaced(image: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    columns = displacement[..., 0] + np.arange(width, dtype=np.float32)
    rows = displacement[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
