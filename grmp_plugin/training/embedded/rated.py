"""Rated photographs: their quality, and the frozen trunk's statistics of their views."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from grmp_plugin.config import NetworkConfig
from grmp_plugin.data.images import read_image
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.files import atomic_write
from grmp_plugin.network.preprocess import make_training_views, make_views, normalize
from grmp_plugin.network.trunk import EfficientNetLite, TrunkStatistics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RatedViews:
    """R rated photographs in K views: the V scoring views, then random crops.

    Attributes:
        cells: (R, K, cells, local), float16.
        view: (R, K, global), float16.
        scored: V.
        quality: (R,), in [0, 1].
    """

    cells: np.ndarray
    view: np.ndarray
    scored: int
    quality: np.ndarray

    @property
    def crops(self) -> int:
        """Number of random crops per photograph."""
        result: int = self.view.shape[1] - self.scored
        return result

    def random(self, photographs: np.ndarray, crops: np.ndarray) -> TrunkStatistics:
        """The trunk's statistics of one random crop of each of B photographs, in float32."""
        parts = (part[photographs, self.scored + crops] for part in (self.cells, self.view))
        return TrunkStatistics(*(torch.from_numpy(part).float() for part in parts))

    def as_scored(self, photographs: np.ndarray) -> TrunkStatistics:
        """The trunk's statistics of all scoring views of B photographs (B V, ...), in float32."""
        parts = (
            part[photographs, : self.scored].reshape(-1, *part.shape[2:]) for part in (self.cells, self.view)
        )
        return TrunkStatistics(*(torch.from_numpy(part).float() for part in parts))


def rated_views(
    ratings: Ratings,
    trunk: EfficientNetLite,
    network: NetworkConfig,
    crops: int,
    seed: int,
    file: Path,
    processes: int,
) -> RatedViews:
    """Compute the trunk's statistics of rated photographs, or read them from `file`.

    Args:
        ratings: The photographs; the scale must be known.
        trunk: The frozen trunk.
        network: How scoring makes views.
        crops: Random crops per photograph; every other one is flipped.
        seed: Random seed of the crop positions.
        file: Where the statistics are stored.
        processes: Number of worker processes.

    Raises:
        ImageError: when a photograph cannot be read.
    """
    quality = ratings.scale(np.arange(len(ratings.images))).to_quality(ratings.mos).clip(0, 1)
    if not file.exists():
        log.info("computing %d crops of each of %d rated photographs", crops, len(ratings.images))
        work: Callable[[int], TrunkStatistics] = partial(_look, ratings.images, trunk, network, crops, seed)
        with ProcessPoolExecutor(processes, get_context("spawn"), _one_thread) as pool:
            seen = list(pool.map(work, range(len(ratings.images)), chunksize=8))
        with atomic_write(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, cells=_stacked([s.cells for s in seen]), view=_stacked([s.view for s in seen]))
    kept = np.load(file)
    return RatedViews(kept["cells"], kept["view"], kept["view"].shape[1] - crops, quality)


def _one_thread() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


@torch.inference_mode()
def _look(
    images: Sequence[str], trunk: EfficientNetLite, network: NetworkConfig, crops: int, seed: int, number: int
) -> TrunkStatistics:
    image = torch.from_numpy(read_image(images[number])).permute(2, 0, 1)[None].float() / 255
    views = make_training_views(image, network.preprocess, crops, seed * 1_000_003 + number)
    views[1::2] = views[1::2].flip(-1)
    views = torch.cat([make_views(image, network.preprocess)[0], views])
    seen = trunk.statistics(normalize(views, network.preprocess))
    return TrunkStatistics(seen.cells.half(), seen.view.half())


def _stacked(parts: Sequence[torch.Tensor]) -> np.ndarray:
    return np.stack([part.numpy() for part in parts])
