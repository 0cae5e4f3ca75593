"""The metric: everything above the trunk learns from people's ratings and from pseudo-MOS.

Starts from the meta-prompts. The trunk stays frozen: a step looks at statistics that are known. Views that
nobody rated are labelled by pseudo-MOS and by a readout fitted to the ratings.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.learned import learn_only
from grmp_plugin.network.trunk import TrunkStatistics
from grmp_plugin.training.embedded.backbone import draw_views, noisy_tokens, plain_features, split_photographs
from grmp_plugin.training.embedded.corpus import Corpus
from grmp_plugin.training.embedded.losses import disagreement, ranking_loss
from grmp_plugin.training.embedded.rated import RatedViews
from grmp_plugin.training.embedded.readout import Readout
from grmp_plugin.training.embedded.settings import Recipe
from grmp_plugin.training.embedded.shortcut import ridge_regression, with_shortcut
from grmp_plugin.training.embedded.steps import run_steps
from grmp_plugin.training.losses import quality_loss

_FROZEN = ("clip.visual.conv1.net.", "clip.token_embedding.")
_CHUNK = 512  # views


def train_metric(
    recipe: Recipe,
    start: Checkpoint,
    corpus: Corpus,
    rated: RatedViews,
    learned_from: np.ndarray,
    state: Path,
) -> Checkpoint:
    """Train from the meta-prompts, or resume an interrupted run.

    Args:
        recipe: Steps and seed.
        start: The network with meta-prompts.
        corpus: Distorted photographs with pseudo-MOS.
        rated: Photographs with people's ratings.
        learned_from: Indices of the rated photographs to learn from.
        state: File for the state of an interrupted run.
    """
    settings = recipe.metric
    network = GRMPIQA(start)
    names = [name for name, _ in network.named_parameters() if not name.startswith(_FROZEN)]
    learned = learn_only(network, names)
    learner = _Learner(network, recipe, corpus, rated, learned_from)
    groups = [{"params": list(learned.values()), "lr": settings.learning_rate}]
    minutes = run_steps("metric", network, groups, learner.losses, settings, recipe.seed, state)
    tensors = {
        name: tensor if name in learned else start.tensors[name]
        for name, tensor in network.state_dict().items()
    }
    kept = ("licence", "origin", "recipe_version")
    info = {
        **{name: start.info[name] for name in kept},
        "stage": "taught by people's ratings and by pseudo-MOS",
        "quality_labels": True,
        "training_minutes": minutes,
    }
    trained = Checkpoint(recipe.network, tensors, info)
    quality = rated.quality[learned_from]
    seen = rated.as_scored(learned_from)
    return with_shortcut(trained, ridge_regression(trained, seen, quality), seen, settings.shortcut)


@torch.no_grad()
def _told_by_readout(
    network: GRMPIQA, corpus: Corpus, rated: RatedViews, learned_from: np.ndarray
) -> np.ndarray:
    """Quality of all of the corpus' views, (P, Q, V) float32, by a readout fitted to the ratings."""

    def features(statistics: TrunkStatistics) -> np.ndarray:
        parts = zip(statistics.cells.split(_CHUNK), statistics.view.split(_CHUNK), strict=True)
        return torch.cat([plain_features(network, TrunkStatistics(*part)) for part in parts]).numpy()

    seen = rated.as_scored(learned_from)
    view, read = (
        part.reshape(len(learned_from), rated.scored, -1).mean(1)
        for part in (seen.view.numpy(), features(seen))
    )
    readout = Readout(view, read, rated.quality[learned_from])
    told = np.empty(corpus.view.shape[:3], np.float32)
    for picture in range(len(told)):
        places = [(picture, *place) for place in np.ndindex(told.shape[1:])]
        statistics = corpus.statistics(places)
        told[picture] = readout.predict(statistics.view.numpy(), features(statistics)).reshape(told.shape[1:])
    return told


class _Learner:
    """The losses of a step, a function of the recipe's seed and the step's number."""

    def __init__(
        self, network: GRMPIQA, recipe: Recipe, corpus: Corpus, rated: RatedViews, learned_from: np.ndarray
    ) -> None:
        self._network, self._recipe, self._corpus = network, recipe, corpus
        self._rated, self._learned_from = rated, learned_from
        self._training, _ = split_photographs(recipe, len(corpus.quality))
        told = _told_by_readout(network, corpus, rated, learned_from)
        # The readout was fitted to camera photographs and knows little about other distortions: the stronger
        # one is, the more pseudo-MOS decides how much of the undistorted quality remains.
        pseudo = corpus.quality[..., None]
        left = pseudo * told[:, :1].mean(-1, keepdims=True)
        self._told = pseudo * told + (1 - pseudo) * left

    def losses(self, step: int) -> dict[str, Tensor]:
        """Losses of values, order and correlation."""
        settings, corpus = self._recipe.metric, self._corpus
        rng = np.random.default_rng([self._recipe.seed, 5, step])
        rated = rng.choice(self._learned_from, settings.rated_per_batch, replace=False)
        crops = rng.integers(self._rated.crops, size=len(rated))
        pictures = rng.choice(self._training, settings.pictures_per_batch, replace=False)
        index = tuple(np.array(draw_views(corpus, pictures, settings.views_per_picture, rng)).T)
        looked = [self._rated.random(rated, crops), corpus.statistics(np.array(index).T.tolist())]
        both = TrunkStatistics(*(torch.cat(parts) for parts in zip(*looked, strict=True)))
        tokens = noisy_tokens(self._network, both, settings)
        logits = self._network.quality_logits(self._network.token_features(tokens))
        people, others = logits.split([len(rated), len(index[0])])
        mos = torch.from_numpy(self._rated.quality[rated]).float()
        labels = torch.from_numpy(corpus.quality[index[0], index[1]])
        score = others[:, 0] - others[:, 1]
        return {
            "mos": settings.rated_weight * quality_loss(people, mos),
            "correlation": settings.rated_weight * disagreement((people[:, 0] - people[:, 1]).sigmoid(), mos),
            "told": quality_loss(others, torch.from_numpy(self._told[index])),
            "order": settings.order_weight
            * ranking_loss(score.view(len(pictures), -1), labels.view(len(pictures), -1)),
        }
