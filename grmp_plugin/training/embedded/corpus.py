"""The training data: drawn pictures, distorted versions, their pseudo-MOS, cut into views and kept on disk.

The views' statistics are kept with them: they take as long as a third of a training step.

Made in shards of a few pictures, each a function of the recipe and its number alone, so that an
interrupted run goes on where it stopped.
"""

import logging
import multiprocessing
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from grmp_plugin.config import SCENES
from grmp_plugin.data.distortions import DISTORTIONS, distort
from grmp_plugin.data.pseudo_mos import pseudo_mos
from grmp_plugin.files import atomic_write
from grmp_plugin.network.preprocess import resize
from grmp_plugin.network.view_statistics import view_statistics
from grmp_plugin.training.embedded.pictures import pristine_picture
from grmp_plugin.training.embedded.settings import Recipe

log = logging.getLogger(__name__)

NO_DISTORTION = "none"
KINDS = (NO_DISTORTION, *DISTORTIONS)
_SHARD = 30  # pictures

Views = Sequence[tuple[int, int, int]]
"""Views of the corpus, each by the numbers of its picture, version and view."""

_STRONGEST_REDUCTION = 0.6


@dataclass(frozen=True)
class Corpus:
    """All training data, P pictures with Q versions and V views each.

    Attributes:
        views: (P, Q, V, S, S, 3), uint8; memory-mapped.
        quality: (P, Q), pseudo-MOS.
        kinds: (P, Q, 2), numbers in `KINDS` of the distortions applied, 0 where none.
        levels: (P, Q, 2), levels of these distortions, 0 where none.
        scenes: (P,), numbers in `SCENES`.
        statistics: (P, Q, V, C), the views' `view_statistics`.
    """

    views: list[np.ndarray]
    quality: np.ndarray
    kinds: np.ndarray
    levels: np.ndarray
    scenes: np.ndarray
    statistics: np.ndarray

    def view(self, picture: int, version: int, view: int) -> np.ndarray:
        """One view, (S, S, 3), uint8."""
        shard, within = divmod(picture, _SHARD)
        return self.views[shard][within, version, view]

    def with_any(self, kinds: Collection[str]) -> np.ndarray:
        """(P, Q) bool: the versions with one of these kinds of distortion."""
        return np.asarray(np.isin(self.kinds, [KINDS.index(kind) for kind in kinds]).any(-1))

    def tensor(self, chosen: Views) -> torch.Tensor:
        """Some views, (B, 3, S, S) float32 in [0, 1]."""
        return to_tensor(np.array([self.view(*place) for place in chosen]))


def make_corpus(recipe: Recipe, folder: Path, processes: int) -> Corpus:
    """Make what is missing of the corpus, and open it.

    Args:
        recipe: what to draw and distort.
        folder: where it is kept.
        processes: how many to work with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = range(-(-recipe.corpus.pictures // _SHARD))
    missing = [s for s in shards if not (folder / f"{s}.labels.npz").exists()]
    if missing:
        log.info("drawing %d of %d shards", len(missing), len(shards))
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes) as pool:
            for done, _ in enumerate(pool.imap_unordered(_Work(recipe, folder), missing), 1):
                if done % 10 == 0 or done == len(missing):
                    log.info("drawn %d of %d shards", done, len(missing))
    labels = [np.load(folder / f"{s}.labels.npz") for s in shards]
    views = [np.load(folder / f"{s}.views.npy", mmap_mode="r") for s in shards]
    joined = {name: np.concatenate([part[name] for part in labels]) for name in labels[0].files}
    statistics = np.concatenate([np.load(folder / f"{s}.statistics.npy") for s in shards])
    return Corpus(views, statistics=statistics, **joined)


def to_tensor(views: np.ndarray) -> torch.Tensor:
    """(..., S, S, 3) uint8 -> (..., 3, S, S) float32 in [0, 1]."""
    return torch.from_numpy(views).movedim(-1, -3).float() / 255


@dataclass(frozen=True)
class _Work:
    """Makes one shard; a class, because a closure cannot be sent to another process."""

    recipe: Recipe
    folder: Path

    def __call__(self, shard: int) -> None:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        numbers = range(shard * _SHARD, min((shard + 1) * _SHARD, self.recipe.corpus.pictures))
        parts = [_picture(self.recipe, number) for number in numbers]
        views = np.stack([p["views"] for p in parts])
        with atomic_write(self.folder / f"{shard}.views.npy") as file:
            np.save(file, views)
        with atomic_write(self.folder / f"{shard}.statistics.npy") as file:
            np.save(file, np.stack([_statistics(picture) for picture in views]))
        labels = {name: np.stack([p[name] for p in parts]) for name in parts[0] if name != "views"}
        # Written last: its presence says that the shard is whole.
        with atomic_write(self.folder / f"{shard}.labels.npz") as file:
            np.savez(file, allow_pickle=False, **labels)


def _picture(recipe: Recipe, number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([recipe.seed, 1, number])
    scene = number % len(SCENES)
    seed = int(rng.integers(2**31))
    pristine = pristine_picture(SCENES[scene], seed, recipe.corpus.side, rng)
    views, quality, kinds, levels = [], [], [], []
    for applied in _plan(recipe.corpus.versions, rng):
        image = pristine
        for kind, level in applied:
            image = distort(image, kind, level, int(rng.integers(2**31)))
        views.append([_random_view(image, view, recipe, rng) for view in range(recipe.corpus.views)])
        quality.append(pseudo_mos(pristine, image))
        # A grey picture has no colours to lose: what is left as it was is pristine, whatever was tried.
        visible = [] if np.array_equal(image, pristine) else applied
        numbers = [KINDS.index(kind) for kind, _ in visible]
        kinds.append([*numbers, 0, 0][:2])
        levels.append([*(level for _, level in visible), 0, 0][:2])
    return {
        "views": np.array(views, np.uint8),
        "quality": np.array(quality, np.float32),
        "kinds": np.array(kinds, np.int64),
        "levels": np.array(levels, np.int64),
        "scenes": np.array(scene, np.int64),
    }


@torch.inference_mode()
def _statistics(views: np.ndarray) -> np.ndarray:
    """(Q, V, S, S, 3) uint8 -> (Q, V, C) float32."""
    return view_statistics(to_tensor(views).flatten(0, 1)).unflatten(0, views.shape[:2]).numpy()


def _plan(versions: int, rng: np.random.Generator) -> list[list[tuple[str, int]]]:
    """Distortions of each version: none; two kinds at three levels each; the rest single kinds and pairs."""
    names = list(DISTORTIONS)
    plan: list[list[tuple[str, int]]] = [[]]
    for kind in rng.choice(names, 2, replace=False):
        plan += [[(str(kind), int(level))] for level in sorted(rng.choice(5, 3, replace=False) + 1)]
    while len(plan) < versions:
        amount = 1 if len(plan) % 2 else 2
        plan.append([(str(k), int(rng.integers(1, 6))) for k in rng.choice(names, amount, replace=False)])
    return plan[:versions]


def _random_view(image: np.ndarray, view: int, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """A crop as scoring cuts it, but anywhere; the views take the levels of the pyramid in turn.

    Half of them come from a picture that was reduced before, as scoring reduces large files.
    """
    config = recipe.network.preprocess
    scale = config.scales[view % len(config.scales)]
    if rng.random() < 0.5:
        scale *= rng.uniform(_STRONGEST_REDUCTION, 1)
    if scale < 1:
        side = max(config.size, round(len(image) * scale))
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        small = resize(tensor, side, side, antialias=True)
        image = (small[0].permute(1, 2, 0) * 255).round().byte().numpy()
    top, left = rng.integers(0, len(image) - config.size + 1, 2)
    crop = image[top : top + config.size, left : left + config.size]
    return crop[:, ::-1] if rng.random() < 0.5 else crop
