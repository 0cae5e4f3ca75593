"""Where in an image the network sees low quality: windows of the image, scored one by one.

The alternative, reading every patch token of the last block, finds a degraded quarter of a photograph no more
often, and needs a second path through the network (`tests/benchmarks/quality_maps.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.errors import GRMPError, ImageError
from grmp_plugin.evaluation.scoring import fitting_into
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import as_float, make_views, pixel_tensor, resize

MAX_WINDOWS = 256
"""Most windows of one image; the windows of images longer than about five times their width are sparser."""

_STEP = 0.5  # distance between windows, relative to their side
_CELLS = 4  # grid cells along the side of a window
# squash: windows along the short side of a large image. Smaller windows would show a scale that the network
# does not know: it is trained on whole images.
_SQUASHED = 3


@dataclass(frozen=True)
class QualityMap:
    """Quality over an image, on a regular grid that covers it.

    Attributes:
        values: (h, w) float64 in [0, 1], higher is better. Cell (i, j) covers the rows from i * height / h to
            (i + 1) * height / h, and the columns likewise.
        height: Height of the image, pixels. width: Width of the image, pixels. window: Side of the square
        that a value is based on, in pixels of the image; smaller details are blurred
            to that size.
    """

    values: NDArray[np.float64]
    height: int
    width: int
    window: float


def quality_map(network: GRMPIQA, image: np.ndarray, batch_size: int = 16) -> QualityMap:
    """Score windows that overlap by half, and interpolate between their centres.

    A network that sees crops scores crops of its finest scale; a network that squashes the image scores
    windows of a third of the short side, each as an image of its own. Windows are no smaller than a view
    where the image is large enough, since enlargement looks like blur. The map is not a decomposition of the
    image's score: the score comes from other views, and the mean of the map may differ from it.

    A map shows the network's opinion of pieces. Dark, smooth or out-of-focus parts of a good photograph also
    come out low, so compare maps of the same image rather than places in one map.

    Args:
        network: In evaluation mode, on any device in any precision.
        image: (H, W, 3) uint8 RGB, any H, W >= 1.
        batch_size: Windows per batch; the map does not depend on it.

    Returns:
        The map, with about 4 cells along each window.

    Raises:
        ImageError: When `image` is not such an array. GRMPError: When a batch does not fit into the device's
        memory, or the network's scores are not finite in
            its precision.
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
        windows = Windows(pixel_tensor(image), network.config.preprocess)
        scores = [_scores(network, views) for views in windows.batches(batch_size)]
    values = windows.on_grid(np.concatenate(scores))
    height, width = image.shape[:2]
    return QualityMap(values, height, width, windows.side * height / windows.height)


class Windows:
    """Square windows that cover an image evenly and overlap by half.

    Args:
        image: (1, 3, H, W), RGB: float in [0, 1], or uint8, of which only windows become float.
        config: How the network sees images.

    Attributes:
        height, width: Size of the image after reduction, pixels.
        side: Side of a window in the reduced image, pixels.
        tops, lefts: Where windows begin; one window for each pair.
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
        """Values (h, w) on a regular grid over the image, from the scores of the windows, row by row."""
        table = scores.reshape(len(self.tops), len(self.lefts))
        down, across = (
            _interpolation(length, self.side, starts)
            for length, starts in ((self.height, self.tops), (self.width, self.lefts))
        )
        result: NDArray[np.float64] = down @ table @ across.T
        return result

    def _view(self, top: int, left: int) -> Tensor:
        window = as_float(self._image[..., top : top + self.side, left : left + self.side])
        if self._config.kind == "squash":
            return make_views(window, self._config)
        return resize(window, self._config.size, self._config.size).unsqueeze(1)


def _starts(length: int, side: int, most: int) -> list[int]:
    """Where windows begin along a side; the first and the last touch the borders."""
    count = min(most, 1 + int(np.ceil((length - side) / (_STEP * side))))
    return [round(start) for start in np.linspace(0, length - side, count)]


def _interpolation(length: int, side: int, starts: list[int]) -> NDArray[np.float64]:
    """Weights (cells, windows) of windows in cells along one side; constant beyond the outermost centres."""
    cells = max(1, round(length * _CELLS / side))
    middles = (np.arange(cells) + 0.5) * length / cells
    centres = np.array(starts) + side / 2
    return np.stack([np.interp(middles, centres, unit) for unit in np.eye(len(starts))], axis=1)


def _scores(network: GRMPIQA, views: Tensor) -> NDArray[np.float64]:
    device = network.clip.visual.class_embedding.device
    with fitting_into(device, len(views), "windows"):
        # MPS has no float64.
        scores = network.score_views(views.to(device))[:, 0].cpu().double().numpy()
    if not np.isfinite(scores).all():
        raise GRMPError("the network's scores of some windows are not finite: use fp32")
    return scores
