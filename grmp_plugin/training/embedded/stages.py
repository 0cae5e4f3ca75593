"""The two stages of the whole network: the backbone learns captions, then the metric learns quality."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.towers import embed_pixels, encode_image, project_image
from grmp_plugin.training.embedded.captions import caption_groups
from grmp_plugin.training.embedded.corpus import Corpus, Views
from grmp_plugin.training.embedded.losses import ranking_loss
from grmp_plugin.training.embedded.settings import Recipe, RunSettings, StageSettings
from grmp_plugin.training.embedded.targets import caption_targets, quality_targets
from grmp_plugin.training.losses import quality_loss

BACKBONE, QUALITY = "backbone", "quality"

# Weight of each group of captions in the loss.
_WEIGHTS = {
    "scene": 0.3,
    "fault": 0.5,
    "strength": 0.5,
    "brightness": 0.1,
    "contrast": 0.1,
    "colour": 0.1,
    "detail": 0.1,
}
# In the quality stage captions only keep what the first stage learned.
_CAPTIONS_BESIDE_QUALITY = 0.4


class Batch(NamedTuple):
    """Views of N versions of each of P pictures, picture by picture: B = P N."""

    pixels: Tensor  # (B, 3, S, S), normalised
    statistics: Tensor  # (B, C)
    targets: dict[str, Tensor]  # (B, texts) for each group of captions
    quality: Tensor  # (P, N)


def batches(
    recipe: Recipe, stage: StageSettings, corpus: Corpus, start: int, run: RunSettings | None
) -> Iterator[Batch]:
    """Batches of the remaining steps; each is a function of the seed and its step.

    Args:
        recipe: the seed, and the corpus' numbers.
        stage: how many steps of how many pictures and versions.
        corpus: where they are from.
        start: the first step.
        run: what is learned as quality; None where none is.
    """
    run = run or RunSettings()
    last = corpus.with_any(run.unjudged)
    pictures = recipe.corpus.pictures - recipe.corpus.validation
    per_epoch = pictures // stage.pictures_per_batch
    for step in range(start, stage.steps):
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng([recipe.seed, 2, epoch]).permutation(pictures)
        first = position * stage.pictures_per_batch
        rng = np.random.default_rng([recipe.seed, 3, step])
        chosen = [
            (int(picture), int(version), int(rng.integers(recipe.corpus.views)))
            for picture in order[first : first + stage.pictures_per_batch]
            for version in _shuffled(last[picture], rng)[: stage.versions_per_picture]
        ]
        yield _batch(recipe, corpus, chosen, stage.versions_per_picture, run.level_share)


def _shuffled(last: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Numbers of the versions (Q,) in random order, those that are to come last at the end."""
    order = rng.permutation(len(last))
    return order[np.argsort(last[order], kind="stable")]


def backbone_losses(network: GRMPIQA, batch: Batch, stage: StageSettings) -> dict[str, Tensor]:
    """Contrastive losses of plain CLIP, without prompts: each group's texts against the images."""
    features = plain_features(network, _training_tokens(network, batch, stage))
    return _caption_losses(network, features, batch, 1.0)


def quality_losses(network: GRMPIQA, batch: Batch, stage: StageSettings) -> dict[str, Tensor]:
    """Quality through the learned prompts, its order within a picture and in the batch, and captions."""
    features = network.token_features(_training_tokens(network, batch, stage))
    logits = network.quality_logits(features)
    score = logits[:, 0] - logits[:, 1]
    return {
        "quality": quality_loss(logits, batch.quality.flatten()),
        "order": 0.3 * ranking_loss(score.view(batch.quality.shape), batch.quality)
        + 0.3 * ranking_loss(score[None], batch.quality.flatten()[None]),
        **_caption_losses(network, features, batch, _CAPTIONS_BESIDE_QUALITY),
    }


def _caption_losses(network: GRMPIQA, features: Tensor, batch: Batch, weight: float) -> dict[str, Tensor]:
    groups = caption_groups(network.config)
    texts = network.text_features([text for group in groups.values() for text in group])
    logits = network.clip.logit_scale.exp() * features @ texts.T
    parts = logits.split([len(group) for group in groups.values()], dim=1)
    return {
        name: weight * _WEIGHTS[name] * F.cross_entropy(part, batch.targets[name])
        for name, part in zip(groups, parts, strict=True)
    }


def plain_features(network: GRMPIQA, tokens: Tensor) -> Tensor:
    """Features (B, D) of the backbone alone, of tokens (B, 1 + patches, width)."""
    return project_image(network.clip.visual, encode_image(network.clip.visual, tokens))


def tokens(network: GRMPIQA, corpus: Corpus, chosen: Views) -> Tensor:
    """Tokens (B, 1 + patches, width) of some views of the corpus."""
    pictures, numbers, views = np.array(chosen).T
    pixels = normalize(corpus.tensor(chosen), network.config.preprocess)
    statistics = torch.from_numpy(corpus.statistics[pictures, numbers, views])
    return embed_pixels(network.clip.visual, pixels, statistics)


def _training_tokens(network: GRMPIQA, batch: Batch, stage: StageSettings) -> Tensor:
    """Tokens of a batch, after the stage's dropout."""
    tokens = embed_pixels(network.clip.visual, batch.pixels, batch.statistics)
    return F.dropout(_fewer(tokens, stage.patch_dropout), stage.token_dropout)


def _fewer(tokens: Tensor, dropout: float) -> Tensor:
    """The class token and a random choice of each image's patches, of (B, 1 + patches, width)."""
    if dropout == 0:
        return tokens
    patches = tokens.shape[1] - 1
    kept = torch.rand(len(tokens), patches).argsort(1)[:, : max(1, round((1 - dropout) * patches))]
    chosen = torch.cat([torch.zeros(len(tokens), 1, dtype=torch.long), 1 + kept], 1)
    return tokens.gather(1, chosen.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def _batch(recipe: Recipe, corpus: Corpus, chosen: Views, versions: int, level_share: float) -> Batch:
    pictures, numbers, views = np.array(chosen).T
    view = corpus.tensor(chosen)
    scenes, kinds, levels = (
        torch.from_numpy(x)
        for x in (corpus.scenes[pictures], corpus.kinds[pictures, numbers], corpus.levels[pictures, numbers])
    )
    return Batch(
        normalize(view, recipe.network.preprocess),
        torch.from_numpy(corpus.statistics[pictures, numbers, views]),
        caption_targets(view, scenes, kinds, levels),
        quality_targets(torch.from_numpy(corpus.quality[pictures, numbers]), levels, level_share).view(
            -1, versions
        ),
    )
