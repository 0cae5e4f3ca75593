"""Training the embedded model: seeded, resumable, from a corpus on disk to a checkpoint."""

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from grmp_plugin.files import atomic_write
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.initial import initial_prompts, untrained_backbone
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.texts import vocabulary_of
from grmp_plugin.training.embedded import captions
from grmp_plugin.training.embedded.corpus import KINDS, Corpus, to_tensor
from grmp_plugin.training.embedded.losses import grade_targets, kind_targets, ranking_loss
from grmp_plugin.training.embedded.settings import Recipe
from grmp_plugin.training.embedded.statistics_stage import freeze_statistics, train_statistics
from grmp_plugin.training.losses import quality_loss

log = logging.getLogger(__name__)

# CLIP's own bound on the logit scale.
_MAX_LOGIT_SCALE = math.log(100)


class Batch(NamedTuple):
    """Views and what is known of them."""

    pixels: Tensor  # (B, 3, S, S), normalised
    quality: Tensor  # (B,)
    kinds: Tensor  # (B, 2)
    levels: Tensor  # (B,)
    scenes: Tensor  # (B,)


def train(recipe: Recipe, corpus: Corpus, work: Path) -> Checkpoint:
    """Train from nothing, or from where an interrupted run stopped.

    Args:
        recipe: network, optimizer and seed.
        corpus: the training data.
        work: folder of the resumable state.

    Returns:
        The trained model, complete with its words.
    """
    network = new_network(recipe)
    freeze_statistics(network)
    optimizer = _optimizer(network, recipe)
    state_file = work / "state.pt"
    step, seconds = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        step, seconds = state["step"], state["seconds"]
        log.info("resumed at step %d", step)
    started = time.monotonic() - seconds
    if step == 0:
        train_statistics(network, corpus, recipe)
        torch.manual_seed(recipe.seed)
    running: dict[str, float] = {}
    for batch, plain in _batches(recipe, corpus, step):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        network.train()
        parts = _losses(network, batch, plain)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            network.clip.logit_scale.clamp_(max=_MAX_LOGIT_SCALE)
        step += 1
        for name, value in parts.items():
            key = f"{'plain ' if plain else ''}{name}"
            running[key] = 0.98 * running.get(key, value.item()) + 0.02 * value.item()
        if step % 50 == 0:
            losses = ", ".join(f"{name} {value:.3f}" for name, value in sorted(running.items()))
            log.info("step %d, %.0f s: %s", step, time.monotonic() - started, losses)
        if step % recipe.optimizer.save_every == 0 or step == recipe.optimizer.steps:
            srcc = validate(network, corpus, recipe)
            log.info("step %d: validation SRCC %.4f", step, srcc)
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "rng": torch.get_rng_state(),
                "step": step,
                "seconds": time.monotonic() - started,
            }
            with atomic_write(state_file) as temporary:
                torch.save(state, temporary)
    info = {
        "licence": "Apache-2.0",
        "origin": "grmp-iqa, trained from nothing on drawn scenes; no photograph was used",
        "recipe_version": recipe.version,
        "seed": recipe.seed,
        "steps": step,
        "training_minutes": round((time.monotonic() - started) / 60, 1),
        "threads": torch.get_num_threads(),
        "validation_srcc": round(validate(network, corpus, recipe), 4),
    }
    return Checkpoint(recipe.network, network.state_dict(), info)


def new_network(recipe: Recipe) -> GRMPIQA:
    """An untrained network with the words of its captions."""
    vocabulary = vocabulary_of(captions.all_texts(recipe.network))
    tensors = {
        **untrained_backbone(recipe.network, vocabulary, recipe.seed),
        **initial_prompts(recipe.network, recipe.seed),
    }
    return GRMPIQA(Checkpoint(recipe.network, tensors))


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a half cosine to zero."""
    settings = recipe.optimizer
    warmup = min(1.0, (step + 1) / settings.warmup)
    progress = min(1.0, step / settings.steps)
    return settings.learning_rate * warmup * (0.5 + 0.5 * math.cos(math.pi * progress))


def validate(network: GRMPIQA, corpus: Corpus, recipe: Recipe) -> float:
    """SRCC against pseudo-MOS on the pictures kept out of training, scores averaged over the stored views."""
    network.eval()
    pictures = range(recipe.corpus.pictures - recipe.corpus.validation, recipe.corpus.pictures)
    scores = []
    with torch.inference_mode():
        for picture in pictures:
            views = [
                [corpus.view(picture, version, view) for view in range(recipe.corpus.views)]
                for version in range(recipe.corpus.versions)
            ]
            scores.append(network.score_views(to_tensor(np.array(views)))[:, 0])
    found = spearmanr(torch.cat(scores).numpy(), corpus.quality[list(pictures)].ravel())
    return float(found.statistic)


def _losses(network: GRMPIQA, batch: Batch, plain: bool) -> dict[str, Tensor]:
    config = network.config
    if plain:
        features = network.plain_image_features(batch.pixels)
        quality_texts = network.text_features(captions.PLAIN_QUALITY_TEXTS)
    else:
        features = network.image_features(batch.pixels)
        quality_texts = network.quality_text_features()
    groups = [
        captions.scene_texts(config),
        captions.distortion_texts(),
        captions.strength_texts(),
        captions.quality_word_texts(),
    ]
    texts = network.text_features([text for group in groups for text in group])
    scale = network.clip.logit_scale.exp()
    scene, kind, level, grade = (scale * features @ texts.T).split([len(group) for group in groups], dim=1)
    quality = scale * features @ quality_texts.T
    return {
        "quality": quality_loss(quality, batch.quality),
        "ranking": 0.5 * ranking_loss(quality, batch.quality),
        "scene": 0.15 * F.cross_entropy(scene, batch.scenes),
        "kind": 0.25 * F.cross_entropy(kind, kind_targets(batch.kinds, len(KINDS))),
        "level": 0.1 * F.cross_entropy(level, batch.levels),
        "grade": 0.25 * F.cross_entropy(grade, grade_targets(batch.quality, grade.shape[1])),
    }


def _batches(recipe: Recipe, corpus: Corpus, start: int) -> Iterator[tuple[Batch, bool]]:
    """Batches of the remaining steps; each is a function of the seed and its step."""
    settings = recipe.optimizer
    pictures = recipe.corpus.pictures - recipe.corpus.validation
    per_epoch = pictures // settings.pictures_per_batch
    for step in range(start, settings.steps):
        epoch, position = divmod(step, per_epoch)
        order = np.random.default_rng([recipe.seed, 2, epoch]).permutation(pictures)
        first = position * settings.pictures_per_batch
        rng = np.random.default_rng([recipe.seed, 3, step])
        yield (
            _batch(order[first : first + settings.pictures_per_batch], recipe, corpus, rng),
            bool(rng.random() < settings.plain_share),
        )


def _batch(pictures: np.ndarray, recipe: Recipe, corpus: Corpus, rng: np.random.Generator) -> Batch:
    views, index = [], []
    for picture in pictures:
        versions = rng.permutation(recipe.corpus.versions)[: recipe.optimizer.versions_per_picture]
        for version in versions:
            views.append(corpus.view(int(picture), int(version), int(rng.integers(recipe.corpus.views))))
            index.append((int(picture), int(version)))
    rows, columns = np.array(index).T
    pixels = normalize(to_tensor(np.array(views)), recipe.network.preprocess)
    return Batch(
        pixels,
        torch.from_numpy(corpus.quality[rows, columns]),
        torch.from_numpy(corpus.kinds[rows, columns]),
        torch.from_numpy(corpus.levels[rows, columns]),
        torch.from_numpy(corpus.scenes[rows]),
    )


def _optimizer(network: GRMPIQA, recipe: Recipe) -> torch.optim.AdamW:
    decayed: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        is_matrix = parameter.ndim >= 2 and "embedding" not in name and "ctx" not in name
        (decayed if is_matrix else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": recipe.optimizer.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.optimizer.learning_rate, betas=(0.9, 0.98))
