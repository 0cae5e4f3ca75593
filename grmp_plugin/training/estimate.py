"""How long an adaptation will take, measured on a few images before the long work begins."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.scorer import RatedScorer

_SCORED = 4  # images
_LEARNED = 32  # images in a step; where fewer fit the processor's caches, these would seem too fast


def estimate_seconds(
    trainer: GRMPAdaptModel,
    shots: RatedViews,
    scorer: RatedScorer,
    scored: Sequence[int],
    epochs: int,
    batch_size: int,
    splits: int,
) -> float:
    """Seconds of scoring and training, extrapolated from a few images; no weight is changed.

    Args:
        trainer: Before training.
        shots: Images to train on.
        scorer: Scorer of all rated images.
        scored: Numbers of the images that are scored before and after training.
        epochs: Number of epochs.
        batch_size: Shots per step.
        splits: Number of such trainings, each with as many shots and scored images.
    """
    some = scored[:_SCORED]
    # Once without timing: text features and the prompts' keys and values are then cached.
    scorer.scores(trainer.net, some)
    embedding = _timed(lambda: scorer.embed(trainer.net, some)) / len(some)
    scoring = _timed(lambda: scorer.scores(trainer.net, some)) / len(some)
    times = 2 * splits
    total = embedding * scorer.embeddings_ahead(scored, times) + scoring * times * len(scored)
    return total + splits * _training(trainer, shots, epochs, batch_size)


def _training(trainer: GRMPAdaptModel, shots: RatedViews, epochs: int, batch_size: int) -> float:
    """Seconds of the steps: each takes as long as the texts, and a share for each image."""
    many = min(_LEARNED, batch_size, len(shots))
    few = max(1, many // 4)
    # The first step with a view also embeds it; later ones use the cache.
    first, again, with_few = (
        _timed(partial(trainer.try_gradients, shots.batch(range(count)))) for count in (many, many, few)
    )
    image = max(0.0, again - with_few) / (many - few) if many > few else again / many
    step = max(0.0, again - many * image)
    steps = math.ceil(len(shots) / batch_size)
    firsts = min(epochs, trainer.frozen.kept_views or 1)
    return firsts * len(shots) * (first - again) / many + epochs * (steps * step + len(shots) * image)


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
