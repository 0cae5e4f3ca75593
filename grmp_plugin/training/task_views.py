"""Distortion tasks as views: the support and query images of one task after another."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.network.preprocess import make_training_views, resize
from grmp_plugin.synthetic.tasks import TaskImages, TaskSource
from grmp_plugin.training.settings import PretrainSettings

# The released code resizes support images to 256 before cropping 224.
_SUPPORT_MARGIN = 256 / 224


class TaskViews(Dataset[dict[str, Any]]):
    """Tasks of one or more sources; an item is one task with its support and query images.

    An item has `support` and `query`, (N, 3, S, S) uint8 views; `support_quality` and `query_quality`,
    (N,), labels min-max normalised within each; `source`, the number of the source; `name`; `learned`,
    digests of the files behind the images (see `TaskImages`).

    Args:
        sources: Sources of the tasks.
        preprocess: How to make the views.
        settings: How to split a task, and the protocol.
        seed: Random seed of splits and views.
    """

    def __init__(
        self,
        sources: Sequence[TaskSource],
        preprocess: PreprocessConfig,
        settings: PretrainSettings,
        seed: int,
    ) -> None:
        self.tasks = [
            (number, distortion)
            for number, source in enumerate(sources)
            for distortion in source.distortions[: _most_tasks(sources, settings.protocol)]
        ]
        self._sources = tuple(sources)
        self._preprocess = preprocess
        self._settings = settings
        self._seed = seed

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One task, a new draw by torch's generator each time, for pyiqa's data loader."""
        return self.draw(index, int(torch.randint(2**31, ())))

    def draw(self, index: int, visit: int) -> dict[str, Any]:
        """One task; the same arguments give the same item.

        Args:
            index: Number of the task.
            visit: Number of the draw.
        """
        source, distortion = self.tasks[index]
        rng = np.random.default_rng([self._seed, index, visit])
        images = self._sources[source].draw(distortion, int(rng.integers(2**31)))
        order = rng.permutation(len(images.images))[: self._settings.images_per_task]
        cut = min(max(1, round(self._settings.support_share * len(order))), len(order) - 1)
        support, query = order[:cut], order[cut:]
        return {
            "support": self._views(images, support, rng, augment=True),
            "support_quality": _normalized(images.mos[support]),
            "query": self._views(images, query, rng, augment=False),
            "query_quality": _normalized(images.mos[query]),
            "source": source,
            "name": f"{self._sources[source].name}: {distortion}",
            "learned": images.learned,
        }

    def order(self, epoch: int) -> list[int]:
        """All tasks, shuffled for an epoch; with protocol `released`, source after source."""
        rng = np.random.default_rng([self._seed, epoch])
        shuffled = [int(i) for i in rng.permutation(len(self.tasks))]
        if self._settings.protocol == "released":
            shuffled.sort(key=lambda index: self.tasks[index][0])
        return shuffled

    def _views(
        self, images: TaskImages, chosen: np.ndarray, rng: np.random.Generator, *, augment: bool
    ) -> Tensor:
        views = []
        for number in chosen:
            image = torch.from_numpy(np.array(images.images[number])).permute(2, 0, 1)[None].float() / 255
            view = _view(image, self._preprocess, rng, augment)
            views.append(view.flip(-1) if augment and rng.random() < 0.5 else view)
        return (torch.cat(views) * 255).round().to(torch.uint8)


def _most_tasks(sources: Sequence[TaskSource], protocol: str) -> int | None:
    # The released code takes as many tasks of every data set as TID2013 has, and so omits one of KADID-10k's.
    if protocol != "released":
        return None
    return min(len(source.distortions) for source in sources)


def _view(image: Tensor, config: PreprocessConfig, rng: np.random.Generator, augment: bool) -> Tensor:
    """One view, (1, 3, S, S): a random crop, or the whole of a squashed query image."""
    if config.kind == "crops":
        one_scale = dataclasses.replace(config, scales=(float(rng.choice(config.scales)),))
        return make_training_views(image, one_scale, 1, int(rng.integers(2**31)))
    if not augment:
        return resize(image, config.size, config.size)
    side = round(config.size * _SUPPORT_MARGIN)
    top, left = (int(place) for place in rng.integers(side - config.size + 1, size=2))
    return resize(image, side, side)[..., top : top + config.size, left : left + config.size]


def _normalized(mos: np.ndarray) -> Tensor:
    low, high = mos.min(), mos.max()
    # Equal labels have no order; use the middle.
    quality = (mos - low) / (high - low) if high > low else np.full(len(mos), 0.5)
    return torch.as_tensor(quality, dtype=torch.float32)
