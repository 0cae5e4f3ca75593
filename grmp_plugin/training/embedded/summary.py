"""The stem's summary of whole views, trained alone before each stage, from statistics kept with the corpus.

A small MLP on them sees thousands of views a second where the whole network sees 64; the stages start from
it and leave it as it is, as their few samples would wear it away. Its heads are thrown away.
"""

import logging
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.training.embedded.corpus import Corpus
from grmp_plugin.training.embedded.losses import ranking_loss
from grmp_plugin.training.embedded.settings import Recipe, RunSettings
from grmp_plugin.training.embedded.targets import FAULTS, fault_targets, quality_targets

log = logging.getLogger(__name__)


def train_summary(network: GRMPIQA, corpus: Corpus, recipe: Recipe, run: RunSettings | None) -> None:
    """Train the summary, in place, on the faults of a view and on request on its quality.

    Args:
        network: whose stem is trained; its statistics are standardised already.
        corpus: what to learn from.
        recipe: how.
        run: what is learned as quality; None: only kinds and levels of distortion are learned.
    """
    settings = recipe.summary
    stem: Any = network.clip.visual.conv1
    summary = stem.summary.requires_grad_(True).train()
    pictures = recipe.corpus.pictures - recipe.corpus.validation
    statistics = torch.from_numpy(corpus.statistics[:pictures])
    labels = torch.from_numpy(corpus.quality[:pictures])
    kinds, levels = (torch.from_numpy(x[:pictures]) for x in (corpus.kinds, corpus.levels))
    last = torch.from_numpy(corpus.with_any(run.unjudged if run else ())[:pictures])
    # Its own generator: what the next stage draws does not depend on how much was drawn here.
    random = torch.Generator().manual_seed(recipe.seed)
    heads = nn.Linear(stem.out_channels, 1 + FAULTS)
    with torch.no_grad():
        heads.weight.normal_(std=stem.out_channels**-0.5, generator=random)
        heads.bias.zero_()
    parameters = [*summary.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    shape = (settings.pictures_per_batch, settings.versions_per_picture)
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (1 - step / settings.steps)
        picture = torch.randint(pictures, (shape[0], 1), generator=random)
        order = torch.rand(shape[0], recipe.corpus.versions, generator=random) + last[picture[:, 0]]
        version = order.argsort(1)[:, : shape[1]]
        view = torch.randint(recipe.corpus.views, shape, generator=random)
        inputs = stem.standardized(statistics[picture, version, view])
        inputs = inputs + settings.noise * torch.randn(inputs.shape, generator=random)
        hidden = summary[:2](inputs)
        if run is not None:
            kept = torch.rand(hidden.shape, generator=random) >= settings.quality_dropout
            hidden = hidden * kept / (1 - settings.quality_dropout)
        score, fault = heads(summary[2:](hidden)).split([1, FAULTS], dim=-1)
        wanted = fault_targets(kinds[picture, version].flatten(0, 1), levels[picture, version].flatten(0, 1))
        loss = F.cross_entropy(fault.flatten(0, 1), wanted) * (1 if run is None else 0.25)
        if run is not None:
            wanted = quality_targets(labels[picture, version], levels[picture, version], run.level_share)
            loss = loss + _quality_losses(score[..., 0], wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % 1000 == 0:
            log.info("summary, step %d: loss %.3f", step + 1, loss.item())
    # Left behind, gradients would count in the stage's gradient norm.
    optimizer.zero_grad(set_to_none=True)
    summary.requires_grad_(False).eval()


def _quality_losses(score: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy with the quality, and its order among versions of one picture: both (pictures, N)."""
    return F.binary_cross_entropy_with_logits(score, wanted) + 0.3 * ranking_loss(score, wanted)


def standardize(network: GRMPIQA, corpus: Corpus, recipe: Recipe) -> None:
    """Measure the constants of the stem on views of the corpus; change them in place."""
    stem: Any = network.clip.visual.conv1
    pictures = recipe.corpus.pictures - recipe.corpus.validation
    some = np.random.default_rng([recipe.seed, 4]).permutation(pictures)[: max(1, pictures // 100)]
    versions, views = recipe.corpus.versions, recipe.corpus.views
    chosen = [(int(p), v, int(p + v) % views) for p in some for v in range(versions)]
    pixels = normalize(corpus.tensor(chosen), recipe.network.preprocess)
    stem.standardize(pixels, torch.from_numpy(corpus.statistics[:pictures]).flatten(0, 2))
