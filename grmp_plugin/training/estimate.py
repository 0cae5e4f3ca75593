"""How long an adaptation will take, from a few images, before anything long has begun."""

import time
from collections.abc import Callable

from grmp_plugin.training.adapt import GRMPAdaptModel
from grmp_plugin.training.shots_data import RatedViews, predict

_TRIED = 4  # images


def estimate_seconds(
    trainer: GRMPAdaptModel, shots: RatedViews, images: RatedViews, scored: int, epochs: int
) -> float:
    """Seconds of scoring and training, as fast as on a few images; the weights stay as they are.

    Args:
        trainer: before training.
        shots: what will be trained on.
        images: some of what will be scored.
        scored: how many images will be scored, before and after together.
        epochs: how many.
    """
    few = list(range(min(_TRIED, len(shots), len(images))))
    batch = shots.batch(few)
    scoring = _timed(lambda: predict(trainer.net, images, few))
    # The first time, what is remembered of the shots is computed.
    first, again = (_timed(lambda: trainer.try_gradients(batch)) for _ in range(2))
    return (scored * scoring + len(shots) * (first + (epochs - 1) * again)) / len(few)


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
