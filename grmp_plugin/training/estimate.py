"""How long an adaptation will take, from a few images, before anything long has begun."""

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
    """Seconds of scoring and training, as fast as on a few images; the weights stay as they are.

    Args:
        trainer: before training.
        shots: what will be trained on.
        scorer: of the images.
        scored: which images will be scored, before training and after it.
        epochs: how many.
        splits: how many such trainings there will be, of as many shots and images.
    """
    few = list(range(min(_TRIED, len(shots), len(scored))))
    batch = shots.batch(few)
    # Once beforehand: features of the texts, keys and values of the prompts are remembered.
    scorer.scores(trainer.net, scored[: len(few)])
    embedding = _timed(lambda: scorer.embed(trainer.net, scored[: len(few)]))
    scoring = _timed(lambda: scorer.scores(trainer.net, scored[: len(few)]))
    # The first time, what is remembered of the shots is computed.
    first, again = (_timed(lambda: trainer.try_gradients(batch)) for _ in range(2))
    times = 2 * splits
    total = embedding * scorer.embeddings_ahead(scored, times) + scoring * times * len(scored)
    return (total + splits * len(shots) * (first + (epochs - 1) * again)) / len(few)


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
