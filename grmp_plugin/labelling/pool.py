"""The pictures to choose from, with what a network says of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grmp_plugin.labelling.near_duplicates import Distinct
from grmp_plugin.labelling.reading import LeftOut, read_each
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import make_pixel_views, normalize
from grmp_plugin.progress import Progress, ProgressCallback

_BATCH = 8  # pictures in the network at once


@dataclass(frozen=True, eq=False)
class Pool:
    """Readable pictures, none a near-duplicate of another, and what a network says of them.

    Attributes:
        paths: N paths.
        features: (N, D) float64: image features, L2-normalised.
        scores: (N,) float64: quality, 0 to 1.
        left_out: The others.
    """

    paths: tuple[str, ...]
    features: np.ndarray
    scores: np.ndarray
    left_out: LeftOut


def read_pool(paths: Iterable[str], network: GRMPIQA, progress: ProgressCallback) -> Pool:
    """Read all pictures, and what the network says of them.

    Args:
        paths: Paths; the first of near-duplicates is kept.
        network: In evaluation mode, on the CPU.
        progress: Called with each `Progress`.
    """
    listed = list(paths)
    distinct, kept = Distinct(), list[str]()
    bad: list[tuple[str, str]] = []
    alike: list[str] = []
    described = _Descriptions(network)

    def views(pixels: np.ndarray) -> Tensor:
        with torch.inference_mode():
            return make_pixel_views(pixels, network.config.preprocess)

    threads = torch.get_num_threads()
    try:
        # One thread of torch in each of ours; new threads inherit the number that was set last.
        for done, one in enumerate(read_each(listed, views, lambda: torch.set_num_threads(1)), 1):
            if one.thumb is None or one.made is None:
                bad.append((one.path, one.error or ""))
            elif distinct.add(one.thumb):
                kept.append(one.path)
                described.add(one.made)
            else:
                alike.append(one.path)
            progress(Progress("looking at pictures", done, len(listed)))
    finally:
        torch.set_num_threads(threads)
    return Pool(tuple(kept), *described.all(), LeftOut(tuple(bad), tuple(alike)))


class _Descriptions:
    """Features and scores of pictures, computed in batches."""

    def __init__(self, network: GRMPIQA) -> None:
        self._network = network
        self._waiting: list[Tensor] = []
        self._features: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []

    def add(self, views: Tensor) -> None:
        """Take in the views of one picture, (1, V, 3, S, S)."""
        self._waiting.append(views)
        if len(self._waiting) == _BATCH:
            self._describe()

    def all(self) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, D) and scores (N,)."""
        if self._waiting:
            self._describe()
        if not self._features:
            return np.empty((0, 1)), np.empty(0)
        return np.concatenate(self._features), np.concatenate(self._scores)

    def _describe(self) -> None:
        network, views = self._network, torch.cat(self._waiting)
        self._waiting.clear()
        with torch.inference_mode():
            features = network.image_features(normalize(views.flatten(0, 1), network.config.preprocess))
            quality = network.quality_logits(features).softmax(-1)[:, 0].unflatten(0, views.shape[:2])
            mean = features.unflatten(0, views.shape[:2]).mean(dim=1)
        self._features.append((mean / mean.norm(dim=-1, keepdim=True)).double().numpy())
        self._scores.append(quality.mean(dim=1).double().numpy())
