"""Metrics that learn nothing, as fixed lines; scores that are known are not computed again."""

import numpy as np

from grmp_plugin.errors import InputError, MetricError
from grmp_plugin.evaluation.metric_names import MetricSpec, find_metrics
from grmp_plugin.evaluation.metric_scores import score_images
from grmp_plugin.evaluation.metrics import Metrics
from grmp_plugin.evaluation.score_cache import ScoreCache
from grmp_plugin.progress import ProgressCallback


def fixed_metrics(names: tuple[str, ...]) -> tuple[MetricSpec, ...]:
    """pyiqa's no-reference metrics by name, group or wildcard.

    Raises:
        InputError: For an unknown name, a full-reference metric, or a model of this package.
    """
    if not names:
        return ()
    found = find_metrics(names, references=False).metrics
    for spec in found:
        if spec.own and spec.name in names:
            raise InputError(
                f"{spec.name} is a model of this package: adapt it; the method zero-shot judges it as it is",
                argument="metrics",
                see=("model",),
            )
    return tuple(spec for spec in found if not spec.own)


class FixedScores:
    """Scores of images by fixed metrics, from the user's cache where they are known.

    Args:
        device: `cpu` or `cuda`.
        report: Called after each image.
    """

    def __init__(self, device: str, report: ProgressCallback) -> None:
        self._metrics = Metrics(device)
        self._report = report
        self._found: dict[tuple[str, tuple[str, ...]], np.ndarray | MetricError] = {}

    def scores(self, spec: MetricSpec, images: tuple[str, ...]) -> np.ndarray:
        """Scores (N,), turned so that higher is better; NaN where an image has none.

        Raises:
            MetricError: When the metric cannot be created, or fails on most images.
        """
        key = (spec.name, images)
        if key not in self._found:
            self._found[key] = self._compute(spec, images)
        found = self._found[key]
        if isinstance(found, MetricError):
            raise found
        return found

    def _compute(self, spec: MetricSpec, images: tuple[str, ...]) -> np.ndarray | MetricError:
        cache = ScoreCache()
        try:
            (scored,) = score_images(images, None, [spec], self._metrics, cache, self._report).metrics
        finally:
            cache.close()
        if scored.error is not None:
            return MetricError(f"{spec.name}: {scored.error}")
        return -scored.scores if spec.lower_better else scored.scores
