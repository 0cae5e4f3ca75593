"""The training data: photographs, distorted versions, their pseudo-MOS, and the trunk's statistics of them.

Made in shards of a few photographs, each a function of the recipe and its number alone, so that an
interrupted run goes on where it stopped.
"""

import logging
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from grmp_plugin.data.images import read_image
from grmp_plugin.files import atomic_write
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import make_training_views, normalize
from grmp_plugin.network.trunk import TrunkStatistics
from grmp_plugin.synthetic.distortions import DISTORTIONS, distort
from grmp_plugin.synthetic.pseudo_mos import pseudo_mos
from grmp_plugin.training.embedded.imagenet import ImageNetClassifier, trunk_variant
from grmp_plugin.training.embedded.photographs import Photograph
from grmp_plugin.training.embedded.settings import Recipe

log = logging.getLogger(__name__)

KINDS = ("none", *DISTORTIONS)
_SHARD = 20  # photographs

Views = Sequence[tuple[int, int, int]]
"""Views of the corpus, each by the numbers of its photograph, version and view."""

# Views are cut from a version as it is, or reduced to this share of its size and more, as scoring reduces
# large files.
_STRONGEST_REDUCTION = 0.5
_SMALLEST_SIDE = 96  # pixels: pseudo-MOS compares four scales


@dataclass(frozen=True)
class Corpus:
    """All training data: P photographs with Q versions and V views each.

    Attributes:
        cells: (P, Q, V, cells, local), float16: the trunk's statistics of each cell.
        view: (P, Q, V, global), float16: the trunk's statistics of the whole view.
        appearance: (P, Q, V, 4), float32: see `targets.appearance`.
        quality: (P, Q), pseudo-MOS.
        kinds: (P, Q, 2), numbers in `KINDS` of the distortions applied, 0 where none.
        levels: (P, Q, 2), levels of these distortions, 0 where none.
        classes: (P, 1000), float16: probabilities of ImageNet's classes, undistorted.
    """

    cells: np.ndarray
    view: np.ndarray
    appearance: np.ndarray
    quality: np.ndarray
    kinds: np.ndarray
    levels: np.ndarray
    classes: np.ndarray

    def statistics(self, chosen: Views) -> TrunkStatistics:
        """The trunk's statistics of some views, in float32."""
        index = tuple(np.array(chosen).T)
        return TrunkStatistics(*(torch.from_numpy(part[index]).float() for part in (self.cells, self.view)))


def corpus_statistics(checkpoint: Checkpoint, corpus: Corpus) -> np.ndarray:
    """Standardised statistics (P, Q, G) of whole views of every version, mean over its views.

    Args:
        checkpoint: A network with a convolutional trunk.
        corpus: Distorted versions of photographs; the first of each is the photograph as it is.
    """
    trunk = GRMPIQA(checkpoint).clip.visual.conv1
    with torch.inference_mode():
        found: list[Tensor] = [
            trunk.standardized_view(torch.from_numpy(view).float()).mean(1) for view in corpus.view
        ]
        return torch.stack(found).numpy()


def make_corpus(recipe: Recipe, photographs: Sequence[Photograph], folder: Path, processes: int) -> Corpus:
    """Open the corpus, after making the shards that are missing.

    Args:
        recipe: How to distort and crop.
        photographs: What to distort.
        folder: Where the corpus is stored.
        processes: Number of worker processes.

    Raises:
        ImageError: when a photograph cannot be read, or is smaller than 96 pixels.
        WeightsUnavailableError: when the trunk's weights are not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = range(-(-len(photographs) // _SHARD))
    missing = [s for s in shards if not (folder / f"{s}.npz").exists()]
    if missing:
        log.info("distorting %d of %d shards of photographs", len(missing), len(shards))
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes, _one_thread) as pool:
            work = _Work(recipe, tuple(photographs), folder)
            for done, _ in enumerate(pool.imap_unordered(work, missing), 1):
                if done % 10 == 0 or done == len(missing):
                    log.info("distorted %d of %d shards", done, len(missing))
    parts = [np.load(folder / f"{s}.npz") for s in shards]
    return Corpus(**{name: np.concatenate([p[name] for p in parts]) for name in parts[0].files})


def _one_thread() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


@dataclass(frozen=True)
class _Work:
    """Makes one shard; a class, because a closure cannot be sent to another process."""

    recipe: Recipe
    photographs: tuple[Photograph, ...]
    folder: Path

    @torch.inference_mode()
    def __call__(self, shard: int) -> None:
        numbers = range(shard * _SHARD, min((shard + 1) * _SHARD, len(self.photographs)))
        classifier = ImageNetClassifier(trunk_variant(self.recipe.network))
        parts = [_photograph(self.recipe, self.photographs[n], n, classifier) for n in numbers]
        stacked: dict[str, Any] = {name: np.stack([p[name] for p in parts]) for name in parts[0]}
        with atomic_write(self.folder / f"{shard}.npz") as file:
            np.savez(file, **stacked)


def _photograph(
    recipe: Recipe, photograph: Photograph, number: int, classifier: ImageNetClassifier
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([recipe.seed, 1, number])
    original = _part(read_image(photograph.path), recipe.corpus.side, rng)
    views, quality, kinds, levels = [], [], [], []
    for applied in _plan(recipe.corpus.versions, rng):
        image = original
        for kind, level in applied:
            image = distort(image, kind, level, int(rng.integers(2**31)))
        views.append(torch.cat([_view(image, recipe, rng) for _ in range(recipe.corpus.views)]))
        quality.append(pseudo_mos(original, image))
        # A grey photograph has no colours to lose: what is left as it was is undistorted, whatever was tried.
        visible = [] if np.array_equal(image, original) else applied
        kinds.append([*(KINDS.index(kind) for kind, _ in visible), 0, 0][:2])
        levels.append([*(level for _, level in visible), 0, 0][:2])
    seen = [classifier.trunk.statistics(normalize(v, recipe.network.preprocess)) for v in views]
    classes = classifier(normalize(views[0], recipe.network.preprocess)).mean(0).softmax(-1)
    return {
        "cells": torch.stack([s.cells for s in seen]).half().numpy(),
        "view": torch.stack([s.view for s in seen]).half().numpy(),
        "appearance": torch.stack([appearance(v) for v in views]).numpy(),
        "quality": np.array(quality, np.float32),
        "kinds": np.array(kinds, np.int64),
        "levels": np.array(levels, np.int64),
        "classes": classes.half().numpy(),
    }


def appearance(view: Tensor) -> Tensor:
    """Measures (B, 4) behind the captions of appearance, of views (B, 3, S, S) in [0, 1].

    Mean of luma, its deviation, mean chroma, and mean step between neighbours.
    """
    luma = view.mean(1)
    chroma = (view - luma[:, None]).square().sum(1).sqrt()
    steps = (luma[..., 1:] - luma[..., :-1]).abs()
    return torch.stack(
        [luma.mean((1, 2)), luma.flatten(1).std(1), chroma.mean((1, 2)), steps.mean((1, 2))], dim=1
    )


def _part(image: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A part of a photograph, or of the photograph reduced, at most `side` pixels each way."""
    height, width = image.shape[:2]
    smallest = min(1.0, side / min(height, width))
    # Enlarged, a small photograph would be a bad one; but no part can be smaller than pseudo-MOS needs.
    scale = max(rng.uniform(smallest, 1), _SMALLEST_SIDE / min(height, width))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    top, left = (int(rng.integers(0, max(0, length - side) + 1)) for length in (height, width))
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def _plan(versions: int, rng: np.random.Generator) -> list[list[tuple[str, int]]]:
    """Distortions of each version: none; one kind at three levels; then single kinds and pairs."""
    names = list(DISTORTIONS)
    plan: list[list[tuple[str, int]]] = [[]]
    kind = str(rng.choice(names))
    plan += [[(kind, int(level))] for level in sorted(rng.choice(5, 3, replace=False) + 1)]
    while len(plan) < versions:
        amount = 2 if len(plan) % 2 else 1
        plan.append([(str(k), int(rng.integers(1, 6))) for k in rng.choice(names, amount, replace=False)])
    return plan[:versions]


def _view(image: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> Tensor:
    """A random crop, (1, 3, S, S) in [0, 1]; half of them from a reduced picture."""
    if rng.random() < 0.5:
        scale = rng.uniform(_STRONGEST_REDUCTION, 1)
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    view = make_training_views(tensor, recipe.network.preprocess, 1, int(rng.integers(2**31)))
    return view.flip(-1) if rng.random() < 0.5 else view
