"""How long an adaptation will take, measured on a few images before the long work begins."""

import time
from collections.abc import Callable, Sequence

from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.scorer import RatedScorer

_TRIED = 4  # images


def estimate_seconds(
    trainer: GRMPAdaptModel,
    shots: RatedViews,
    scorer: RatedScorer,
    scored: Sequence[int],
    epochs: int,
    splits: int,
) -> float:
    """Seconds of scoring and training, extrapolated from a few images; no weight is changed.

    Args:
        trainer: Before training.
        shots: Images to train on.
        scorer: Scorer of all rated images.
        scored: Numbers of the images that are scored before and after training.
        epochs: Number of epochs.
        splits: Number of such trainings, each with as many shots and scored images.
    """
    few = list(range(min(_TRIED, len(shots), len(scored))))
    batch = shots.batch(few)
    # Once without timing: text features and the prompts' keys and values are then cached.
    scorer.scores(trainer.net, scored[: len(few)])
    embedding = _timed(lambda: scorer.embed(trainer.net, scored[: len(few)]))
    scoring = _timed(lambda: scorer.scores(trainer.net, scored[: len(few)]))
    # The first step with a view also embeds it; later ones use the cache.
    first, again = (_timed(lambda: trainer.try_gradients(batch)) for _ in range(2))
    times = 2 * splits
    total = embedding * scorer.embeddings_ahead(scored, times) + scoring * times * len(scored)
    firsts = min(epochs, trainer.frozen.kept_views or 1)
    return (total + splits * len(shots) * (firsts * (first - again) + epochs * again)) / len(few)


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
