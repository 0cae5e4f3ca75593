"""Training the embedded model: seeded, resumable, from a corpus on disk to two checkpoints."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from scipy.stats import spearmanr
from torch import Tensor

from grmp_plugin.files import atomic_write
from grmp_plugin.network.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.initial import initial_prompts, untrained_backbone
from grmp_plugin.network.texts import vocabulary_of
from grmp_plugin.training.embedded import captions, stages
from grmp_plugin.training.embedded.corpus import Corpus
from grmp_plugin.training.embedded.settings import Recipe, RunSettings, StageSettings
from grmp_plugin.training.embedded.summary import standardize, train_summary

log = logging.getLogger(__name__)

# CLIP's own bound on the logit scale.
_MAX_LOGIT_SCALE = math.log(100)
_VALIDATE_EVERY = 500  # steps
_CHUNK = 256  # views scored together in validation


class _Stage(NamedTuple):
    name: str
    settings: StageSettings
    losses: Callable[[GRMPIQA, stages.Batch, StageSettings], dict[str, Tensor]]
    run: RunSettings | None  # None: learns no quality

    @property
    def learns_quality(self) -> bool:
        return self.run is not None


def train(recipe: Recipe, corpus: Corpus, work: Path) -> dict[str, Path]:
    """Train from nothing, or from where an interrupted run stopped.

    Args:
        recipe: network, stages and seed.
        corpus: the training data.
        work: folder of the resumable state and of the checkpoints.

    Returns:
        Checkpoint file of each stage, in half precision: `backbone` knows captions and has untrained
        prompts; `quality` is the metric, the mean of the runs of the quality stage.
    """
    backbone = work / "backbone.safetensors"
    stage = _Stage(stages.BACKBONE, recipe.backbone, stages.backbone_losses, None)
    _complete(stage, lambda: new_network(recipe), recipe, corpus, backbone)
    runs = []
    for number, run in enumerate(recipe.runs):
        stage = _Stage(stages.QUALITY, recipe.quality, stages.quality_losses, run)
        runs.append(work / f"quality-{number}.safetensors")
        _complete(stage, lambda: GRMPIQA(str(backbone)), recipe, corpus, runs[-1])
    metric = work / "quality.safetensors"
    if not metric.exists():
        parts = [read_checkpoint(run) for run in runs]
        mean = mean_of_runs(read_checkpoint(backbone), parts, recipe.backbone_share)
        srcc = validate(GRMPIQA(mean), corpus, recipe, plain=False)
        info = {**mean.info, "validation_srcc": round(srcc, 4)}
        write_checkpoint(dataclasses.replace(mean, info=info), metric, half=True)
    return {"backbone": backbone, "quality": metric}


def mean_of_runs(backbone: Checkpoint, runs: Sequence[Checkpoint], backbone_share: float) -> Checkpoint:
    """The mean of the runs' weights, and of the backbone's that they started from.

    Such a mean keeps more of what the backbone knows of pictures unlike the training's: arXiv:2109.01903,
    arXiv:2203.05482. The backbone's prompts are untrained and do not count.
    """
    tensors = {}
    for name, tensor in backbone.tensors.items():
        if not tensor.is_floating_point():
            tensors[name] = tensor
            continue
        share = 0.0 if name.startswith(("text_prompt.", "visual_prompts.")) else backbone_share
        mean = sum(run.tensors[name].float() for run in runs) / len(runs)
        tensors[name] = share * tensor.float() + (1 - share) * mean
    minutes = round(sum(run.info["training_minutes"] for run in runs), 1)
    info = {**runs[0].info, "runs": len(runs), "backbone_share": backbone_share, "training_minutes": minutes}
    return Checkpoint(backbone.config, tensors, info)


def _complete(
    stage: _Stage, start: Callable[[], GRMPIQA], recipe: Recipe, corpus: Corpus, file: Path
) -> None:
    """Run a stage unless its checkpoint is there."""
    # One for each stage: killed before the last line, another stage would go on from this one's end.
    state = file.with_suffix(".pt")
    if not file.exists():
        write_checkpoint(_run(stage, start(), recipe, corpus, state), file, half=True)
    state.unlink(missing_ok=True)


def new_network(recipe: Recipe) -> GRMPIQA:
    """An untrained network with the words of its captions."""
    vocabulary = vocabulary_of(captions.all_texts(recipe.network))
    tensors = {
        **untrained_backbone(recipe.network, vocabulary, recipe.seed),
        **initial_prompts(recipe.network, recipe.seed),
    }
    return GRMPIQA(Checkpoint(recipe.network, tensors))


def learning_rate(step: int, stage: StageSettings) -> float:
    """Linear warm-up, then a half cosine to zero."""
    warmup = min(1.0, (step + 1) / stage.warmup)
    progress = min(1.0, step / stage.steps)
    return stage.learning_rate * warmup * (0.5 + 0.5 * math.cos(math.pi * progress))


def validate(network: GRMPIQA, corpus: Corpus, recipe: Recipe, *, plain: bool, every: int = 1) -> float:
    """SRCC against pseudo-MOS on pictures kept out of training, scores averaged over the stored views.

    Args:
        network: what to validate.
        corpus: whose last pictures are taken.
        recipe: says how many.
        plain: the backbone without prompts, read through `captions.PLAIN_QUALITY_TEXTS`.
        every: take only every n-th of these pictures.
    """
    network.eval()
    first = recipe.corpus.pictures - recipe.corpus.validation
    versions, views = range(recipe.corpus.versions), range(recipe.corpus.views)
    pictures = list(range(first, recipe.corpus.pictures, every))
    chosen = [(picture, version, view) for picture in pictures for version in versions for view in views]
    scores = []
    with torch.inference_mode():
        for place in range(0, len(chosen), _CHUNK):
            tokens = stages.tokens(network, corpus, chosen[place : place + _CHUNK])
            scores.append(_plain_logits(network, tokens) if plain else _logits(network, tokens))
    quality = torch.cat(scores).softmax(-1)[:, 0].view(len(pictures), len(versions), len(views)).mean(-1)
    return float(spearmanr(quality.flatten().numpy(), corpus.quality[pictures].ravel()).statistic)


def _run(stage: _Stage, network: GRMPIQA, recipe: Recipe, corpus: Corpus, state_file: Path) -> Checkpoint:
    _freeze_stem(network)
    optimizer = _optimizer(network, stage.settings)
    step, seconds = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        step, seconds = state["step"], state["seconds"]
        log.info("%s: resumed at step %d", stage.name, step)
    started = time.monotonic() - seconds
    if step == 0:
        if stage.name == stages.BACKBONE:
            standardize(network, corpus, recipe)
        train_summary(network, corpus, recipe, stage.run)
        torch.manual_seed(recipe.seed)
    running: dict[str, float] = {}
    for batch in stages.batches(recipe, stage.settings, corpus, step, stage.run):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, stage.settings)
        network.train()
        parts = stage.losses(network, batch, stage.settings)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            network.clip.logit_scale.clamp_(max=_MAX_LOGIT_SCALE)
        step += 1
        for name, value in parts.items():
            running[name] = 0.98 * running.get(name, value.item()) + 0.02 * value.item()
        if step % 50 == 0:
            losses = ", ".join(f"{name} {value:.3f}" for name, value in running.items())
            log.info("%s, step %d, %.0f s: %s", stage.name, step, time.monotonic() - started, losses)
        if step % stage.settings.save_every == 0:
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "rng": torch.get_rng_state(),
                "step": step,
                "seconds": time.monotonic() - started,
            }
            with atomic_write(state_file) as temporary:
                torch.save(state, temporary)
        if step % _VALIDATE_EVERY == 0:
            srcc = validate(network, corpus, recipe, plain=not stage.learns_quality, every=3)
            log.info("%s, step %d: validation SRCC %.4f", stage.name, step, srcc)
    info = {
        "licence": "Apache-2.0",
        "origin": "grmp-iqa, trained from nothing on drawn scenes; no photograph was used",
        "quality_labels": stage.learns_quality,
        "recipe_version": recipe.version,
        "seed": recipe.seed,
        "steps": step,
        "training_minutes": round((time.monotonic() - started) / 60, 1),
        "threads": torch.get_num_threads(),
        "validation_srcc": round(validate(network, corpus, recipe, plain=not stage.learns_quality), 4),
    }
    return Checkpoint(recipe.network, network.state_dict(), {**network.info, **info})


def _plain_logits(network: GRMPIQA, tokens: Tensor) -> Tensor:
    features = stages.plain_features(network, tokens)
    texts = network.text_features(captions.PLAIN_QUALITY_TEXTS)
    return network.clip.logit_scale.exp() * features @ texts.T


def _logits(network: GRMPIQA, tokens: Tensor) -> Tensor:
    return network.quality_logits(network.token_features(tokens))


def _freeze_stem(network: GRMPIQA) -> None:
    """Keep the DCT, and what the summary learned alone, out of a stage."""
    stem: Any = network.clip.visual.conv1
    stem.spectrum.requires_grad_(False)
    stem.summary.requires_grad_(False)


def _optimizer(network: GRMPIQA, stage: StageSettings) -> torch.optim.AdamW:
    decayed: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        is_matrix = parameter.ndim >= 2 and "embedding" not in name and "ctx" not in name
        (decayed if is_matrix else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": stage.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=stage.learning_rate, betas=(0.9, 0.98))
