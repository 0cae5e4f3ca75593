"""Which of several metrics agrees best with MOS, and which others cannot be told from it.

Every metric is evaluated on the same bootstrap resamples, and two-sided p-values of the differences in SRCC
come from how many resamples turn them round (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
section 15.4). They are corrected by the procedure of Holm, "A simple sequentially rejective multiple test
procedure", Scandinavian Journal of Statistics 6, 1979.

The best is chosen by the data that it is then tested with. A correction for its M - 1 comparisons would not
know of that choice: among ten metrics that are equally good it finds a difference in more than one of ten
data sets. Therefore all M (M - 1) / 2 pairs are corrected for, and those with the best are reported.
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
# With R resamples no p-value is below 2 / (R + 1): for P pairs, 2 P / (R + 1) must be able to pass the level.
_RESAMPLES_PER_PAIR = 40


@dataclass(frozen=True, eq=False)
class BestMetric:
    """The metric with the highest SRCC, and the others beside it; arrays and tuples have one entry a metric.

    Attributes:
        best: its number, the lowest of several with the same SRCC; None where no SRCC is defined.
        srcc: (M,) SRCC of each; nan where undefined, as for constant predictions.
        differences: (M,) SRCC less that of the best: 0 for itself, nan where undefined.
        intervals: M paired 95% bootstrap intervals of the differences, each by itself.
        p_values: (M,) two-sided and corrected; nan for the best itself and where undefined.
        as_good: (M,) whether it cannot be told from the best at the 5% level; true of the best itself, false
            where the SRCC is undefined.
        resamples: how many were drawn.
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
    """Finds the metric with the highest SRCC and tests the others against it.

    Metrics with an undefined SRCC are named by nan and count in no correction. Resamples in which either
    SRCC of a pair is undefined are left out for that pair.

    Takes time in proportion to M x resamples x N: a second for ten metrics on a thousand images.

    Args:
        predictions: (M, N) of M metrics, higher is better.
        mos: (N,) mean opinion scores, higher is better.
        groups: (N,) which reference each image was made from; without it, every image stands for itself.
        seed: of the resampling.
        resamples: how many; by default 4000, or 40 for each pair of metrics where that is more. With fewer
            than that no p-value may be small enough to outlast the correction.

    Returns:
        Intervals and p-values are undefined, and all metrics with an SRCC are as good as the best, for fewer
        than 5 images, for fewer than 3 groups, and when more than half of the resamples had to be left out.

    Raises:
        InputError: when the arrays do not fit together or contain what is not a finite number.
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
    """p-values of (R, M) bootstrap SRCC against one of the metrics, corrected over all pairs: (M,)."""
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
    """Bootstrap p-value of a difference of 0.

    Args:
        differences: (R,) of the resamples, nan where undefined.

    Returns:
        2 min((1 + number <= 0) / (R + 1), (1 + number >= 0) / (R + 1)), at most 1, of those that are defined;
        nan where more than half are not.
    """
    defined = differences[~np.isnan(differences)]
    if 2 * len(defined) < len(differences):
        return math.nan
    fewer = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return float(min(1, 2 * (1 + fewer) / (len(defined) + 1)))


def holm(p_values: ArrayLike) -> Array:
    """p-values corrected for their number: each at most 0.05 rejects with a family-wise error of 5%.

    The k-th lowest of P, from k = 1, is multiplied by P + 1 - k; none may come out lower than the one before
    it, nor above 1.

    Args:
        p_values: (P,); nan are left out of the correction.

    Returns:
        (P,) in the order given, nan where nan was given.
    """
    given = np.asarray(p_values, dtype=np.float64)
    # nan are sorted to the end.
    order = np.argsort(given, kind="stable")[: np.count_nonzero(~np.isnan(given))]
    factors = np.arange(len(order), 0, -1)
    corrected = np.full(len(given), math.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1)
    return corrected
