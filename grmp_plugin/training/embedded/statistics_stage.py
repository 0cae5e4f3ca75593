"""First stage of the embedded model's training: the stem's global statistics, alone.

A small MLP on standardised spectral statistics learns quality from thousands of views a second, where the
whole network takes a second for 64. The second stage starts from it.
"""

import logging
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.stem import pool
from grmp_plugin.training.embedded.corpus import KINDS, Corpus, to_tensor
from grmp_plugin.training.embedded.losses import kind_targets
from grmp_plugin.training.embedded.settings import Recipe

log = logging.getLogger(__name__)

_LEVELS = 6  # the pristine one included
_CHUNK = 20  # pictures whose views go through the spectra together


def train_statistics(network: GRMPIQA, corpus: Corpus, recipe: Recipe) -> None:
    """Standardise the stem and train its statistics on quality, kind and level, through linear heads.

    The heads are thrown away. Changes the network's stem in place.
    """
    stem: Any = network.clip.visual.conv1
    stem.statistics.requires_grad_(True)
    pictures = recipe.corpus.pictures - recipe.corpus.validation
    some = np.random.default_rng([recipe.seed, 4]).permutation(pictures)[: max(1, pictures // 40)]
    stem.standardize(_pixels(corpus, recipe, some))
    inputs = _statistics(stem, corpus, recipe, pictures)
    quality = torch.from_numpy(corpus.quality[:pictures].ravel())
    kinds = torch.from_numpy(corpus.kinds[:pictures].reshape(-1, 2))
    levels = torch.from_numpy(corpus.levels[:pictures].ravel())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        heads = nn.Linear(stem.out_channels, 1 + len(KINDS) + _LEVELS)
        _fit(nn.Sequential(stem.statistics, heads), inputs, quality, kinds, levels, recipe)
    freeze_statistics(network)


def freeze_statistics(network: GRMPIQA) -> None:
    """Keep what the first stage learned out of the second, whose few samples would wear it away."""
    stem: Any = network.clip.visual.conv1
    stem.spectrum.requires_grad_(False)
    stem.statistics.requires_grad_(False)


def _fit(
    model: nn.Module, inputs: Tensor, quality: Tensor, kinds: Tensor, levels: Tensor, recipe: Recipe
) -> None:
    settings = recipe.statistics
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.05)
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (1 - step / settings.steps)
        index = torch.randint(len(inputs), (settings.batch,))
        score, kind, level = model(inputs[index]).split([1, len(KINDS), _LEVELS], dim=1)
        loss = (
            F.binary_cross_entropy_with_logits(score[:, 0], quality[index])
            + 0.25 * F.cross_entropy(kind, kind_targets(kinds[index], len(KINDS)))
            + 0.1 * F.cross_entropy(level, levels[index])
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % 1000 == 0:
            log.info("statistics, step %d: loss %.3f", step + 1, loss.item())
    # Left behind, these would count in the second stage's gradient norm.
    model.zero_grad(set_to_none=True)


@torch.no_grad()
def _statistics(stem: Any, corpus: Corpus, recipe: Recipe, pictures: int) -> Tensor:
    """Standardised statistics of one view of each version: (pictures x versions, C)."""
    parts = []
    for first in range(0, pictures, _CHUNK):
        pixels = _pixels(corpus, recipe, np.arange(first, min(first + _CHUNK, pictures)))
        parts.append((pool(stem.energies(pixels)) - stem.statistics_mean) / stem.statistics_std)
    return torch.cat(parts)


def _pixels(corpus: Corpus, recipe: Recipe, pictures: np.ndarray) -> Tensor:
    views = [
        corpus.view(int(picture), version, int(picture + version) % recipe.corpus.views)
        for picture in pictures
        for version in range(recipe.corpus.versions)
    ]
    return normalize(to_tensor(np.array(views)), recipe.network.preprocess)
