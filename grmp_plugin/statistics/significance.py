"""The metric that agrees best with MOS, and the metrics not significantly different from it.

All metrics are evaluated on the same bootstrap resamples. Two-sided p-values of the differences in SRCC are
derived from the number of resamples in which the sign of a difference flips (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993), and corrected by the procedure of Holm, "A simple sequentially
rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

The best metric is chosen on the data that it is tested on. A correction for its M - 1 comparisons ignores
that choice: among ten equally good metrics it finds a difference in more than one of ten data sets. So all
M (M - 1) / 2 pairs are corrected for, and those with the best are reported.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grmp_plugin.statistics.arrays import Array, table, vector
from grmp_plugin.statistics.bootstrap import UNDEFINED, Interval, over_resamples, percentiles
from grmp_plugin.statistics.correlation import srcc
from grmp_plugin.statistics.resampled_correlation import rank_correlations

_LEVEL = 0.05
_RESAMPLES = 4000
# With R resamples no p-value is below 2 / (R + 1). For P pairs, 2 P / (R + 1) must be below the level.
_RESAMPLES_PER_PAIR = 40


@dataclass(frozen=True, eq=False)
class BestMetric:
    """The metric with the highest SRCC, and the others compared with it; one entry per metric.

    Attributes:
        best: Index of the best metric, the lowest of ties; None if no SRCC is defined.
        srcc: (M,) SRCC; nan where undefined, as for constant predictions.
        differences: (M,) SRCC minus that of the best: 0 for the best itself, nan where undefined.
        intervals: M paired 95% bootstrap intervals of the differences, not corrected.
        p_values: (M,) two-sided and corrected; nan for the best itself and where undefined.
        as_good: (M,) whether a metric is the best, or not significantly different from it at the 5% level;
            false where the SRCC is undefined.
        resamples: Number of resamples drawn.
    """

    best: int | None
    srcc: Array
    differences: Array
    intervals: tuple[Interval, ...]
    p_values: Array
    as_good: NDArray[np.bool_]
    resamples: int


def best_metric(
    predictions: Sequence[ArrayLike] | Array,
    mos: ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int | None = None,
) -> BestMetric:
    """Find the metric with the highest SRCC and test the others against it.

    Metrics with an undefined SRCC get nan and do not count for the correction. Resamples in which either SRCC
    of a pair is undefined are left out for that pair.

    The time is proportional to M x resamples x N: a second for ten metrics on a thousand images.

    Args:
        predictions: (M, N) predictions by M metrics, higher is better.
        mos: (N,) mean opinion scores, higher is better.
        groups: (N,) reference of each image; whole groups are resampled. By default images are independent.
        seed: Seed for the bootstrap.
        resamples: Number of resamples; by default 4000, or 40 per pair of metrics if that is more. With
            fewer, no p-value may be small enough to be significant after the correction.

    Returns:
        For fewer than 5 images, for fewer than 3 groups, and if more than half of the resamples were left
        out, intervals and p-values are undefined and all metrics with an SRCC count as good as the best.

    Raises:
        InputError: When lengths differ or a value is not a finite number.
    """
    x, y = table(predictions, "prediction of metric"), vector(mos, "MOS")
    metrics = len(x)
    whole = np.array([srcc(row, y) for row in x])
    defined = np.flatnonzero(~np.isnan(whole))
    pairs = len(defined) * (len(defined) - 1) // 2
    drawn = max(_RESAMPLES, _RESAMPLES_PER_PAIR * pairs) if resamples is None else resamples
    if len(defined) == 0:
        nothing = np.full(metrics, math.nan)
        return BestMetric(
            None, whole, nothing, (UNDEFINED,) * metrics, nothing, np.zeros(metrics, np.bool_), drawn
        )

    best = int(np.nanargmax(whole))
    intervals, p_values = [UNDEFINED] * metrics, np.full(metrics, math.nan)
    values = over_resamples(
        lambda counts: rank_correlations(x[defined], y, counts), len(y), groups, seed, drawn
    )
    if len(values):
        place = int(np.searchsorted(defined, best))
        for metric, column in zip(defined, values.T, strict=True):
            intervals[metric] = percentiles(column - values[:, place])
        p_values[defined] = _corrected(values, place)
    as_good = ~np.isnan(whole) & ~(p_values <= _LEVEL)
    return BestMetric(best, whole, whole - whole[best], tuple(intervals), p_values, as_good, drawn)


def _corrected(values: Array, best: int) -> Array:
    """p-values of (R, M) bootstrap SRCC against the best metric, corrected for all pairs: (M,)."""
    first, second = np.triu_indices(values.shape[1], 1)
    uncorrected = np.array(
        [two_sided(values[:, i] - values[:, j]) for i, j in zip(first, second, strict=True)]
    )
    corrected = holm(uncorrected)
    p_values = np.full(values.shape[1], math.nan)
    p_values[second[first == best]] = corrected[first == best]
    p_values[first[second == best]] = corrected[second == best]
    return p_values


def two_sided(differences: Array) -> float:
    """Two-sided bootstrap p-value for the hypothesis of no difference.

    Args:
        differences: (R,) differences by resample, nan where undefined.

    Returns:
        2 min((1 + number <= 0) / (R + 1), (1 + number >= 0) / (R + 1)), at most 1, over the R defined ones;
        nan if more than half are undefined.
    """
    defined = differences[~np.isnan(differences)]
    if 2 * len(defined) < len(differences):
        return math.nan
    fewer = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return float(min(1, 2 * (1 + fewer) / (len(defined) + 1)))


def holm(p_values: ArrayLike) -> Array:
    """Correct p-values for multiple tests: rejecting those up to 0.05 has a family-wise error rate of 5%.

    The k-th lowest of P p-values, from k = 1, is multiplied by P + 1 - k, then raised to the one before it if
    that is higher, and limited to 1.

    Args:
        p_values: (P,) p-values; nan do not count.

    Returns:
        (P,) in input order, nan for nan.
    """
    given = np.asarray(p_values, dtype=np.float64)
    # Sorting puts nan last.
    order = np.argsort(given, kind="stable")[: np.count_nonzero(~np.isnan(given))]
    factors = np.arange(len(order), 0, -1)
    corrected = np.full(len(given), math.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1)
    return corrected
