"""Agreement of predicted quality with mean opinion scores (MOS), with 95% intervals.

SRCC, PLCC, KRCC and RMSE as image quality assessment reports them (VQEG, FRTV phase II, 2003).
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from grmp_plugin.errors import InputError
from grmp_plugin.statistics.arrays import Array, paired, vector
from grmp_plugin.statistics.bootstrap import UNDEFINED, Interval, over_resamples, percentiles
from grmp_plugin.statistics.correlation import krcc, plcc, rmse, srcc
from grmp_plugin.statistics.resampled_correlation import (
    resampled_krcc,
    resampled_plcc,
    resampled_rmse,
    resampled_srcc,
)

_MIN_SPLITS = 5  # lowest to highest of four values misses the median one time in eight


@dataclass(frozen=True)
class Agreement:
    """Agreement of predictions with MOS; nan where undefined.

    Attributes:
        images: Number of images.
        srcc: Spearman's rank correlation.
        plcc: Pearson's correlation, without a fitted curve.
        krcc: Kendall's rank correlation, tau-b.
        rmse: Root mean squared error, without a fitted curve, in units of the MOS.
        srcc_interval: 95% interval; likewise for the other three.
    """

    images: int
    srcc: float
    plcc: float
    krcc: float
    rmse: float
    srcc_interval: Interval
    plcc_interval: Interval
    krcc_interval: Interval
    rmse_interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: intervals as `[low, high]`, None for nan."""
        return {name: _plain(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Spread:
    """One statistic over repeated splits of a data set; nan where undefined.

    Attributes:
        splits: Number of splits.
        median: Median over the splits.
        interval: 95% interval of the median.
        min: Lowest value.
        max: Highest value.
    """

    splits: int
    median: float
    interval: Interval
    min: float
    max: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the interval as `[low, high]`, None for nan."""
        return {name: _plain(value) for name, value in vars(self).items()}


def bootstrap_interval(
    predicted: ArrayLike,
    mos: ArrayLike,
    statistic: str = "srcc",
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of one statistic.

    Resamples with an undefined correlation, because all values are equal, are left out.

    KRCC takes resamples x N**2 operations in matrix products: a fraction of a second for a thousand images,
    some seconds for ten thousand. The others are linear in N.

    Args:
        predicted: (N,) predicted quality.
        mos: (N,) mean opinion scores.
        statistic: `srcc`, `plcc`, `krcc` or `rmse`.
        groups: (N,) reference of each image; whole groups are resampled. By default images are independent.
        seed: Seed for the bootstrap.
        resamples: Number of resamples, at least 1.
        level: Coverage of the interval, in (0, 1).

    Returns:
        Undefined for fewer than 5 images, for fewer than 3 groups, and if more than half of the resamples
        were left out.

    Raises:
        InputError: When lengths differ, a value is not a finite number, or the statistic is unknown.
    """
    chosen = _statistic(statistic)
    x, y = paired(predicted, mos)

    def evaluate(counts: Array) -> Array:
        return chosen.resampled(x, y, counts)

    return percentiles(over_resamples(evaluate, len(x), groups, seed, resamples), level)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    mos: ArrayLike,
    statistic: str = "srcc",
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, Interval]:
    """Difference of a statistic between two predictions for the same images, first minus second.

    Both are evaluated on the same resamples, so that easy and hard resamples cancel out.

    Args:
        first: (N,) predicted quality.
        second: (N,) predicted quality of the same images, such as before adaptation.
        mos: (N,) mean opinion scores.
        statistic: `srcc`, `plcc`, `krcc` or `rmse`.
        groups: (N,) reference of each image.
        seed: Seed for the bootstrap.
        resamples: Number of resamples, at least 1.
        level: Coverage of the interval, in (0, 1).

    Returns:
        The difference, nan if either statistic is undefined, and its interval, undefined in the same cases
        as for `bootstrap_interval`.

    Raises:
        InputError: As for `bootstrap_interval`.
    """
    chosen = _statistic(statistic)
    a, y = paired(first, mos, "first prediction")
    b, _ = paired(second, mos, "second prediction")

    def evaluate(counts: Array) -> Array:
        return chosen.resampled(a, y, counts) - chosen.resampled(b, y, counts)

    values = over_resamples(evaluate, len(y), groups, seed, resamples)
    return chosen.whole(a, y) - chosen.whole(b, y), percentiles(values, level)


def agreement(
    predicted: ArrayLike, mos: ArrayLike, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> Agreement:
    """All four statistics with their 95% intervals.

    Args:
        predicted: (N,) predicted quality.
        mos: (N,) mean opinion scores; RMSE is meaningful only if they are on the scale of the predictions.
        groups: (N,) reference of each image.
        seed: Seed for the bootstrap.

    Raises:
        InputError: As for `bootstrap_interval`.
    """
    x, y = paired(predicted, mos)
    results: dict[str, Any] = {}
    for name, statistic in _STATISTICS.items():
        results[name] = statistic.whole(x, y)
        results[f"{name}_interval"] = bootstrap_interval(x, y, name, groups=groups, seed=seed)
    return Agreement(images=len(x), **results)


def spread(values: ArrayLike, seed: int = 0, resamples: int = 2000) -> Spread:
    """Median of a statistic over repeated splits, with its 95% bootstrap interval.

    Splits of one data set share images, so the interval covers the choice of the split, not of the images.

    Args:
        values: (K,) one value per split.
        seed: Seed for the bootstrap.
        resamples: Number of resamples, at least 1.

    Returns:
        The interval is undefined for fewer than 5 splits; everything is for none.

    Raises:
        InputError: When a value is not a finite number.
    """
    array = vector(values, "values of the splits")
    splits = len(array)
    if splits == 0:
        return Spread(0, math.nan, UNDEFINED, math.nan, math.nan)
    interval = UNDEFINED
    if splits >= _MIN_SPLITS:
        drawn = np.random.default_rng(seed).integers(splits, size=(resamples, splits))
        interval = percentiles(np.median(array[drawn], axis=1), 0.95)
    return Spread(splits, float(np.median(array)), interval, float(array.min()), float(array.max()))


class _Statistic(NamedTuple):
    whole: Callable[[ArrayLike, ArrayLike], float]
    resampled: Callable[[Array, Array, Array], Array]


_STATISTICS = {
    "srcc": _Statistic(srcc, resampled_srcc),
    "plcc": _Statistic(plcc, resampled_plcc),
    "krcc": _Statistic(krcc, resampled_krcc),
    "rmse": _Statistic(rmse, resampled_rmse),
}


def _statistic(name: str) -> _Statistic:
    if name not in _STATISTICS:
        raise InputError(f"the statistic is {', '.join(_STATISTICS)}; not '{name}'")
    return _STATISTICS[name]


def _plain(value: float | Interval) -> Any:
    if isinstance(value, Interval):
        return [_plain(bound) for bound in value]
    return None if math.isnan(value) else value
