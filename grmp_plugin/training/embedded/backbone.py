"""The backbone: image blocks and text tower learn captions, contrastively, above the frozen trunk.

Locked-image tuning (arXiv:2111.07991), where what is locked is the trunk: its statistics of every view of the
corpus are known, and a step costs no more than the small blocks. No quality rating and no pseudo-MOS takes
part.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.initial import initial_prompts, untrained_backbone
from grmp_plugin.network.learned import learn_only
from grmp_plugin.network.texts import vocabulary_of
from grmp_plugin.network.towers import embed_statistics, encode_image, project_image
from grmp_plugin.network.trunk import TrunkStatistics
from grmp_plugin.training.embedded.captions import all_texts, caption_groups, class_texts, short_captions
from grmp_plugin.training.embedded.corpus import Corpus, Views
from grmp_plugin.training.embedded.imagenet import ImageNetClassifier, trunk_variant
from grmp_plugin.training.embedded.photographs import Photograph
from grmp_plugin.training.embedded.settings import BackboneSettings, MetricSettings, Recipe
from grmp_plugin.training.embedded.steps import run_steps
from grmp_plugin.training.embedded.targets import caption_targets

log = logging.getLogger(__name__)

# Weight of each group of captions in the loss.
_WEIGHTS = {
    "scene": 0.3,
    "fault": 0.5,
    "strength": 0.5,
    "brightness": 0.1,
    "contrast": 0.1,
    "colour": 0.1,
    "detail": 0.1,
    "class": 0.4,
    "caption": 0.3,
}
_PROMPTS = ("text_prompt.", "visual_prompts.")
# An undistorted photograph with faults of its own has no caption of its faults, nor has a slightly distorted
# one.
_CLEAR_LEVEL = 3
_STANDARDIZED_ON = 4000  # views


def new_network(recipe: Recipe, photographs: Sequence[Photograph]) -> GRMPIQA:
    """A network with ImageNet's trunk and nothing else learned, with the words of its captions."""
    config = recipe.network
    captions = [text for p in photographs for text in short_captions(p.captions, config)]
    vocabulary = vocabulary_of(all_texts(config, captions))
    trunk = ImageNetClassifier(trunk_variant(config)).trunk
    tensors = {
        **untrained_backbone(config, vocabulary, recipe.seed),
        **initial_prompts(config, recipe.seed),
        **{f"clip.visual.conv1.net.{name}": tensor for name, tensor in trunk.state_dict().items()},
    }
    return GRMPIQA(Checkpoint(config, tensors))


def train_backbone(
    recipe: Recipe, photographs: Sequence[Photograph], corpus: Corpus, state: Path
) -> Checkpoint:
    """Train from scratch, or resume an interrupted run.

    Args:
        recipe: Network, steps and seed.
        photographs: The P photographs of the corpus.
        corpus: Their distorted versions.
        state: File for the state of an interrupted run.
    """
    settings = recipe.backbone
    network = new_network(recipe, photographs)
    training, _ = split_photographs(recipe, len(photographs))
    _standardize(network, corpus, training, recipe.seed)
    names = [
        n for n, _ in network.named_parameters() if not n.startswith((*_PROMPTS, "clip.visual.conv1.net."))
    ]
    learned = learn_only(network, names)
    learner = _Learner(network, recipe, photographs, corpus, training)
    groups = [{"params": list(learned.values()), "lr": settings.learning_rate}]
    minutes = run_steps("backbone", network, groups, learner.losses, settings, recipe.seed, state)
    tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    info = {
        "licence": "Apache-2.0",
        "origin": "EfficientNet-Lite, with image blocks and a text tower taught by captions",
        "recipe_version": recipe.version,
        "training_minutes": minutes,
    }
    return Checkpoint(recipe.network, tensors, info)


def split_photographs(recipe: Recipe, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the photographs for training, and of those kept out."""
    order = np.random.default_rng([recipe.seed, 9]).permutation(count)
    kept_out = min(recipe.corpus.validation, count // 5)
    return np.sort(order[kept_out:]), np.sort(order[:kept_out])


def plain_features(network: GRMPIQA, statistics: TrunkStatistics) -> Tensor:
    """Features (B, D) of the backbone alone, without prompts."""
    visual = network.clip.visual
    return project_image(visual, encode_image(visual, embed_statistics(visual, statistics)))


def noisy_tokens(
    network: GRMPIQA, statistics: TrunkStatistics, settings: BackboneSettings | MetricSettings
) -> Tensor:
    """Tokens (B, 1 + cells, width) for training, of statistics with noise added, after dropout."""
    visual = network.clip.visual
    deviations = (visual.conv1.cells_std, visual.conv1.view_std)
    noisy = (
        values + settings.noise * std * torch.randn_like(values)
        for values, std in zip(statistics, deviations, strict=True)
    )
    return F.dropout(embed_statistics(visual, TrunkStatistics(*noisy)), settings.token_dropout)


class _Learner:
    """The losses of a step, a function of the recipe's seed and the step's number."""

    def __init__(
        self,
        network: GRMPIQA,
        recipe: Recipe,
        photographs: Sequence[Photograph],
        corpus: Corpus,
        training: np.ndarray,
    ) -> None:
        self._network, self._recipe, self._corpus, self._training = network, recipe, corpus, training
        self._groups = caption_groups(recipe.network)
        self._class_texts = class_texts()
        self._captions = [short_captions(p.captions, recipe.network) for p in photographs]
        self._scenes = torch.tensor([-1 if p.scene is None else p.scene for p in photographs])
        self._authentic = torch.tensor([p.set in recipe.corpus.authentic for p in photographs])

    def losses(self, step: int) -> dict[str, Tensor]:
        """Cross-entropy of each group's texts, given the views of one step's photographs."""
        settings, corpus = self._recipe.backbone, self._corpus
        rng = np.random.default_rng([self._recipe.seed, 3, step])
        pictures = rng.choice(self._training, settings.pictures_per_batch, replace=False)
        chosen = draw_views(corpus, pictures, settings.views_per_picture, rng)
        visual = self._network.clip.visual
        tokens = noisy_tokens(self._network, corpus.statistics(chosen), settings)
        features = project_image(visual, encode_image(visual, tokens))
        index = np.array(chosen).T
        targets, weights = self._fixed(index)
        classes = self._classes(pictures, rng)
        targets["class"] = _renormalized(torch.from_numpy(corpus.classes[index[0]]).float()[:, classes])
        captions, targets["caption"] = self._said(pictures, rng)
        texts = [text for group in self._groups.values() for text in group]
        texts += [self._class_texts[number] for number in classes] + captions
        text_features = self._network.text_features(texts)
        logits = self._network.clip.logit_scale.exp() * features @ text_features.T
        parts = logits.split([target.shape[1] for target in targets.values()], dim=1)
        return {
            name: _WEIGHTS[name] * _cross_entropy(part, targets[name], weights.get(name))
            for name, part in zip(targets, parts, strict=True)
        }

    def _fixed(self, index: np.ndarray) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Targets of the fixed captions, and weights (B,) of some."""
        corpus = self._corpus
        kinds, levels = (torch.from_numpy(x[index[0], index[1]]) for x in (corpus.kinds, corpus.levels))
        appearance = torch.from_numpy(corpus.appearance[tuple(index)])
        targets = caption_targets(appearance, self._scenes[index[0]], kinds, levels)
        clear = (~self._authentic[index[0]] | (levels.amax(1) >= _CLEAR_LEVEL)).float()
        return targets, {"fault": clear, "strength": clear}

    def _classes(self, pictures: np.ndarray, rng: np.random.Generator) -> list[int]:
        """Numbers of the step's classes: the photographs' likeliest ones, and others at random."""
        likely = np.unique(np.argsort(self._corpus.classes[pictures], axis=1)[:, -3:])
        others = rng.permutation(np.setdiff1d(np.arange(len(self._class_texts)), likely))
        return [*likely, *others[: max(0, self._recipe.backbone.classes_per_step - len(likely))]]

    def _said(self, pictures: np.ndarray, rng: np.random.Generator) -> tuple[list[str], Tensor]:
        """One caption of each photograph of which something is said, and which views they fit."""
        said = [str(rng.choice(self._captions[p])) if self._captions[p] else None for p in pictures]
        texts = sorted({text for text in said if text is not None})
        fits = torch.tensor([[float(text == own) for text in texts] for own in said]).reshape(
            len(said), len(texts)
        )
        return texts, fits.repeat_interleave(self._recipe.backbone.views_per_picture, 0)


def draw_views(corpus: Corpus, pictures: np.ndarray, count: int, rng: np.random.Generator) -> Views:
    """Some views of each photograph, of different versions."""
    versions, views = corpus.view.shape[1:3]
    return [
        (int(picture), int(version), int(rng.integers(views)))
        for picture in pictures
        for version in rng.permutation(versions)[:count]
    ]


def _cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over the rows that have a target, weighted."""
    rows = targets.sum(1) if weights is None else targets.sum(1) * weights
    losses = F.cross_entropy(logits, targets, reduction="none")
    return (losses * rows).sum() / rows.sum().clamp(min=1)


def _renormalized(probabilities: Tensor) -> Tensor:
    return probabilities / probabilities.sum(1, keepdim=True).clamp(min=1e-3)


@torch.no_grad()
def _standardize(network: GRMPIQA, corpus: Corpus, training: np.ndarray, seed: int) -> None:
    """Measure the constants that standardise the trunk's statistics on views of the corpus."""
    rng = np.random.default_rng([seed, 4])
    _, versions, views = corpus.view.shape[:3]
    chosen = [
        (int(rng.choice(training)), int(rng.integers(versions)), int(rng.integers(views)))
        for _ in range(_STANDARDIZED_ON)
    ]
    network.clip.visual.conv1.standardize(corpus.statistics(chosen))
