"""Where in an image the network sees low quality: windows of it scored one by one.

The alternative, reading every patch token of the last block, tells a degraded quarter of a photograph about
as often and no more, and needs a second way through the network (`tests/benchmarks/quality_maps.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.errors import GRMPError, ImageError
from grmp_plugin.evaluation.scoring import fitting_into, image_tensor
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import make_views, resize

MAX_WINDOWS = 256
"""Of one image. Only images longer than about five times their short side come near: theirs lie sparser."""

_STEP = 0.5  # between windows, relative to their side
_CELLS = 4  # cells of the grid along a window's side
# squash: windows along the short side of a large image. More would show the network a scale that it knows
# less and less: it sees whole images in training.
_SQUASHED = 3


@dataclass(frozen=True)
class QualityMap:
    """Quality over an image, on an even grid that covers it.

    Attributes:
        values: (h, w) float64 in [0, 1], higher is better. Cell (i, j) stands for the pixels from row
            i * height / h to (i + 1) * height / h, and for columns alike.
        height: of the image, pixels.
        width: of the image, pixels.
        window: side of the square that a value looks at, in pixels of the image. What is smaller is
            smeared to that size.
    """

    values: NDArray[np.float64]
    height: int
    width: int
    window: float


def quality_map(network: GRMPIQA, image: np.ndarray, batch_size: int = 16) -> QualityMap:
    """Score windows that overlap by half, and interpolate between their centres.

    A network that takes crops scores the crops of its finest scale; one that squashes the image scores
    windows of a third of the short side, each as an image of its own. Windows smaller than a view are
    avoided as long as the image is large enough, since enlarging looks like blur. A map is no division of
    the image's score: that one comes from other views, and the mean of the map may differ from it.

    What a map tells is what the network thinks of pieces. Dark, smooth or out-of-focus parts of a good
    photograph come out low, too, so maps of the same picture compare better than places in one map.

    Args:
        network: in evaluation mode, on any device in any precision; a `Scorer` has one.
        image: (H, W, 3) uint8 RGB, any H, W >= 1.
        batch_size: windows that go through the network together; the map does not depend on it.

    Returns:
        The map, about 4 cells a window.

    Raises:
        ImageError: when `image` is no such array.
        GRMPError: when a batch does not fit into the device's memory, or the network's numbers are not
            finite in its precision.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.shape[2:] != (3,)
        or not image.size
    ):
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"expected an image as an array (H, W, 3) of uint8, found {found}")
    with torch.inference_mode():
        windows = Windows(image_tensor(image.copy()), network.config.preprocess)
        scores = [_scores(network, views) for views in windows.batches(batch_size)]
    values = windows.on_grid(np.concatenate(scores))
    height, width = image.shape[:2]
    return QualityMap(values, height, width, windows.side * height / windows.height)


class Windows:
    """Square windows of an image, evenly spread over all of it, overlapping by half.

    Args:
        image: (1, 3, H, W), float, RGB in [0, 1].
        config: how the network sees images.

    Attributes:
        side: of a window, in pixels of the image as it is cut; `height` and `width` are that image's.
        tops, lefts: where they begin; a window for each pair.
    """

    def __init__(self, image: Tensor, config: PreprocessConfig) -> None:
        self._config = config
        short = min(image.shape[-2:])
        if config.kind == "crops" and short > config.short_side:
            factor = config.short_side / short
            image = resize(image, *(round(side * factor) for side in image.shape[-2:]), antialias=True)
            short = config.short_side
        self._image = image
        self.height, self.width = image.shape[-2:]
        self.side = min(short, config.size)
        if config.kind == "squash":
            self.side = max(self.side, round(short / _SQUASHED))
        along_short = len(_starts(short, self.side, MAX_WINDOWS))
        most = MAX_WINDOWS // along_short
        self.tops, self.lefts = (_starts(length, self.side, most) for length in (self.height, self.width))

    def batches(self, size: int) -> Iterator[Tensor]:
        """The network's views of the windows, row by row, `size` at a time: (B, 1, 3, S, S)."""
        places = [(top, left) for top in self.tops for left in self.lefts]
        for first in range(0, len(places), size):
            yield torch.cat([self._view(*place) for place in places[first : first + size]])

    def on_grid(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (h, w) of an even grid over the image, from a score for each window, row by row."""
        table = scores.reshape(len(self.tops), len(self.lefts))
        down, across = (
            _interpolation(length, self.side, starts)
            for length, starts in ((self.height, self.tops), (self.width, self.lefts))
        )
        return down @ table @ across.T

    def _view(self, top: int, left: int) -> Tensor:
        window = self._image[..., top : top + self.side, left : left + self.side]
        if self._config.kind == "squash":
            return make_views(window, self._config)
        return resize(window, self._config.size, self._config.size).unsqueeze(1)


def _starts(length: int, side: int, most: int) -> list[int]:
    """Where windows begin along a side; the first and the last touch its ends."""
    count = min(most, 1 + int(np.ceil((length - side) / (_STEP * side))))
    return [round(start) for start in np.linspace(0, length - side, count)]


def _interpolation(length: int, side: int, starts: list[int]) -> NDArray[np.float64]:
    """Weights (cells, windows) of windows in cells along one side; the outermost hold to the edges."""
    cells = max(1, round(length * _CELLS / side))
    middles = (np.arange(cells) + 0.5) * length / cells
    centres = np.array(starts) + side / 2
    return np.stack([np.interp(middles, centres, unit) for unit in np.eye(len(starts))], axis=1)


def _scores(network: GRMPIQA, views: Tensor) -> NDArray[np.float64]:
    device = network.clip.visual.class_embedding.device
    with fitting_into(device, len(views), "windows"):
        scores = network.score_views(views.to(device))[:, 0].double().cpu().numpy()
    if not np.isfinite(scores).all():
        raise GRMPError("the network's scores of some windows are not finite: try fp32")
    return scores
