"""How well predicted quality agrees with mean opinion scores (MOS), and how sure one can be of it.

SRCC, PLCC, KRCC and RMSE as image quality assessment reports them (VQEG, FRTV phase II, 2003), with
percentile bootstrap intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13). Images
that share a reference are not independent: given `groups`, whole references are resampled instead.

A resample is held as a row of multiplicities, how often it contains each image, and not as a list of images:
resamples of whole groups then need not be of one length, and ranks follow from sorting the images only once.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from grmp_plugin.errors import InputError

Array = NDArray[np.float64]

_MIN_IMAGES = 5
_MIN_GROUPS = 3
_MIN_SPLITS = 3
# Multiplicities held at a time: 16 MB, with a few temporaries of the same size.
_CHUNK = 2**21
# Rows of the matrix of all pairs held at a time.
_BLOCK = 512


class Interval(NamedTuple):
    """Bounds of an interval; both are nan where it is undefined."""

    low: float
    high: float


UNDEFINED = Interval(math.nan, math.nan)


@dataclass(frozen=True)
class Agreement:
    """Agreement of predictions with MOS; what is undefined is nan.

    Attributes:
        images: how many were compared.
        srcc: Spearman's rank correlation.
        plcc: Pearson's correlation, without a fitted curve.
        krcc: Kendall's rank correlation, tau-b.
        rmse: root mean squared error, without a fitted curve, in units of the MOS given.
        srcc_interval: its 95% interval, as for the other three.
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
        """Plain data for JSON, an interval as `[low, high]`, None in place of nan."""
        return {name: _plain(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Spread:
    """One statistic over repeated splits of a data set; what is undefined is nan.

    Attributes:
        splits: how many.
        median: over the splits.
        interval: 95% interval of the median.
        min: lowest value.
        max: highest value.
    """

    splits: int
    median: float
    interval: Interval
    min: float
    max: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the interval as `[low, high]`, None in place of nan."""
        return {name: _plain(value) for name, value in vars(self).items()}


def srcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Spearman's rank correlation; tied values share their average rank.

    Args:
        predicted: (N,) predicted quality.
        mos: (N,) mean opinion scores, in any unit.

    Returns:
        -1..1; nan when either is constant or there are fewer than two images.

    Raises:
        InputError: when the two are not finite numbers of one length.
    """
    x, y = _pair(predicted, mos)
    return float(stats.spearmanr(x, y).statistic) if _varies(x) and _varies(y) else math.nan


def plcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Pearson's correlation of the values as given; arguments, nan and errors as for `srcc`."""
    x, y = _pair(predicted, mos)
    if not (_varies(x) and _varies(y)):
        return math.nan
    # Without the shift, differences that are small beside the values would lose digits, and scipy would warn.
    return float(stats.pearsonr(x - x[0], y - y[0]).statistic)


def krcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Kendall's rank correlation, tau-b; arguments, nan and errors as for `srcc`."""
    x, y = _pair(predicted, mos)
    return float(stats.kendalltau(x, y).statistic) if _varies(x) and _varies(y) else math.nan


def rmse(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Root mean squared error in units of the MOS; arguments and errors as for `srcc`.

    Returns:
        0 or more; nan for fewer than two images.
    """
    x, y = _pair(predicted, mos)
    return float(np.sqrt(np.mean((x - y) ** 2))) if len(x) > 1 else math.nan


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

    Resamples in which a correlation is undefined, because all values are equal, are left out.

    KRCC takes resamples x N**2 operations, in matrix products: a fraction of a second for a thousand images,
    some seconds for ten thousand. The others are linear in N.

    Args:
        predicted: (N,) predicted quality.
        mos: (N,) mean opinion scores.
        statistic: `srcc`, `plcc`, `krcc` or `rmse`.
        groups: (N,) which reference each image was made from; without it, every image stands for itself.
        seed: of the resampling.
        resamples: how many, at least 1.
        level: probability of the interval, in (0, 1).

    Returns:
        Undefined for fewer than 5 images, for fewer than 3 groups, and when more than half of the resamples
        had to be left out.

    Raises:
        InputError: when the arrays do not fit together or contain what is not a finite number, or the
            statistic is unknown.
    """
    chosen = _statistic(statistic)
    x, y = _pair(predicted, mos)
    units = _units(groups, len(x))

    def evaluate(counts: Array) -> Array:
        return chosen.resampled(x, y, counts)

    return _bootstrap(evaluate, units, groups is not None, seed, resamples, level)


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
    """Statistic of the first prediction minus that of the second, on the same images.

    Both are evaluated on the same resamples, so that what makes a resample easy or hard cancels out.

    Args:
        first: (N,) predicted quality.
        second: (N,) predicted quality of the same images, such as before adaptation.
        mos: (N,) mean opinion scores.
        statistic: `srcc`, `plcc`, `krcc` or `rmse`.
        groups: (N,) which reference each image was made from.
        seed: of the resampling.
        resamples: how many, at least 1.
        level: probability of the interval, in (0, 1).

    Returns:
        The difference, nan where either is undefined, and its interval, undefined as in
        `bootstrap_interval`.

    Raises:
        InputError: as for `bootstrap_interval`.
    """
    chosen = _statistic(statistic)
    a, y = _pair(first, mos, "first prediction")
    b, _ = _pair(second, mos, "second prediction")
    units = _units(groups, len(y))

    def evaluate(counts: Array) -> Array:
        return chosen.resampled(a, y, counts) - chosen.resampled(b, y, counts)

    interval = _bootstrap(evaluate, units, groups is not None, seed, resamples, level)
    return chosen.whole(a, y) - chosen.whole(b, y), interval


def agreement(
    predicted: ArrayLike, mos: ArrayLike, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> Agreement:
    """All four statistics with their 95% intervals.

    Args:
        predicted: (N,) predicted quality.
        mos: (N,) mean opinion scores, on the scale of the predictions if RMSE is to mean anything.
        groups: (N,) which reference each image was made from.
        seed: of the resampling.

    Raises:
        InputError: as for `bootstrap_interval`.
    """
    x, y = _pair(predicted, mos)
    results: dict[str, Any] = {}
    for name, statistic in _STATISTICS.items():
        results[name] = statistic.whole(x, y)
        results[f"{name}_interval"] = bootstrap_interval(x, y, name, groups=groups, seed=seed)
    return Agreement(images=len(x), **results)


def spread(values: ArrayLike, seed: int = 0, resamples: int = 2000) -> Spread:
    """Median of a statistic over repeated splits, with the 95% bootstrap interval of that median.

    Splits of one data set share images, so the interval is about the choice of the split, not of the images.

    Args:
        values: (K,) one value for each split.
        seed: of the resampling.
        resamples: how many, at least 1.

    Returns:
        Its interval is undefined for fewer than 3 splits, all of it for none.

    Raises:
        InputError: when a value is not a finite number.
    """
    array = _vector(values, "values of the splits")
    splits = len(array)
    if splits == 0:
        return Spread(0, math.nan, UNDEFINED, math.nan, math.nan)
    interval = UNDEFINED
    if splits >= _MIN_SPLITS:
        drawn = np.random.default_rng(seed).integers(splits, size=(resamples, splits))
        interval = _percentiles(np.median(array[drawn], axis=1), 0.95)
    return Spread(splits, float(np.median(array)), interval, float(array.min()), float(array.max()))


def _bootstrap(
    evaluate: Callable[[Array], Array],
    units: NDArray[np.int64],
    grouped: bool,
    seed: int,
    resamples: int,
    level: float,
) -> Interval:
    """Interval of a function of multiplicities (R, N) -> (R,); `units` is (N,), 0..U-1 for each image."""
    images, count = len(units), len(set(units.tolist()))
    if images < _MIN_IMAGES or (grouped and count < _MIN_GROUPS):
        return UNDEFINED
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // images)
    parts = [
        evaluate(_multiplicities(generator, min(rows, resamples - start), count)[:, units])
        for start in range(0, resamples, rows)
    ]
    return _percentiles(np.concatenate(parts), level)


def _multiplicities(generator: np.random.Generator, resamples: int, count: int) -> Array:
    """How often each resample contains each of `count` units: (R, U), every row adds up to U."""
    drawn = generator.integers(count, size=(resamples, count))
    drawn += count * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(drawn.shape).astype(np.float64)


def _percentiles(values: Array, level: float) -> Interval:
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        return UNDEFINED
    low, high = np.quantile(defined, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(low), float(high))


def _resampled_srcc(x: Array, y: Array, counts: Array) -> Array:
    return _correlations(_ranks(x, counts), _ranks(y, counts), counts, _both_vary(x, y, counts))


def _resampled_plcc(x: Array, y: Array, counts: Array) -> Array:
    return _correlations(x - x[0], y - y[0], counts, _both_vary(x, y, counts))


def _resampled_krcc(x: Array, y: Array, counts: Array) -> Array:
    """Tau-b of each resample: (R,).

    With multiplicities w and s = 1, 0, -1 for the concordant, tied and discordant pairs of images, the
    numerator is the sum of w_i s_ij w_j over all i < j; copies of one image are tied with each other.
    """
    # Integers below 2**24 are exact in float32, which makes the products twice as fast.
    codes = [np.unique(values, return_inverse=True)[1].astype(np.float32) for values in (x, y)]
    weights = counts.astype(np.float32)
    numerator = np.zeros(len(counts))
    for start in range(0, len(x), _BLOCK):
        stop = start + _BLOCK
        signs = [np.sign(code[start:stop, None] - code[None, start:]) for code in codes]
        pairs = np.triu(signs[0] * signs[1])
        sums = weights[:, start:] @ pairs.T
        numerator += np.einsum("rb,rb->r", sums, counts[:, start:stop])
    untied = _untied_pairs(x, counts) * _untied_pairs(y, counts)
    return _quotients(numerator, np.sqrt(untied))


def _resampled_rmse(x: Array, y: Array, counts: Array) -> Array:
    return np.sqrt(counts @ (x - y) ** 2 / counts.sum(axis=1))


def _correlations(x: Array, y: Array, counts: Array, defined: NDArray[np.bool_]) -> Array:
    """Pearson's correlation of each resample: x, y are (N,) or (R, N), counts (R, N), the result (R,)."""
    total = counts.sum(axis=1, keepdims=True)
    x = x - (counts * x).sum(axis=1, keepdims=True) / total
    y = y - (counts * y).sum(axis=1, keepdims=True) / total
    weighted = counts * x
    covariance = np.einsum("rn,rn->r", weighted, y)
    x_deviation = np.sqrt(np.einsum("rn,rn->r", weighted, x))
    y_deviation = np.sqrt(np.einsum("rn,rn,rn->r", counts, y, y))
    # Rounding leaves equal values a deviation that is not quite 0, hence `defined`.
    return np.clip(_quotients(covariance, x_deviation * y_deviation * defined), -1, 1)


def _quotients(numerator: Array, denominator: Array) -> Array:
    """Their quotients, nan where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(len(numerator), math.nan), where=denominator > 0)


def _ranks(values: Array, counts: Array) -> Array:
    """Average rank of each image in each resample, (R, N); of no meaning where an image is absent."""
    inverse, together = _by_value(values, counts)
    return (together.cumsum(axis=1) - (together - 1) / 2)[:, inverse]


def _both_vary(x: Array, y: Array, counts: Array) -> NDArray[np.bool_]:
    return (_untied_pairs(x, counts) > 0) & (_untied_pairs(y, counts) > 0)


def _untied_pairs(values: Array, counts: Array) -> Array:
    """In how many pairs of each resample the two values differ: (R,), exact."""
    _, together = _by_value(values, counts)
    return (counts.sum(axis=1) ** 2 - np.einsum("rv,rv->r", together, together)) / 2


def _by_value(values: Array, counts: Array) -> tuple[NDArray[np.int64], Array]:
    """Which of the V distinct values, in rising order, each image has, (N,), and their counts, (R, V)."""
    _, inverse, sizes = np.unique(values, return_inverse=True, return_counts=True)
    starts = np.cumsum(sizes) - sizes
    return inverse, np.add.reduceat(counts[:, np.argsort(inverse, kind="stable")], starts, axis=1)


class _Statistic(NamedTuple):
    whole: Callable[[ArrayLike, ArrayLike], float]
    resampled: Callable[[Array, Array, Array], Array]


_STATISTICS = {
    "srcc": _Statistic(srcc, _resampled_srcc),
    "plcc": _Statistic(plcc, _resampled_plcc),
    "krcc": _Statistic(krcc, _resampled_krcc),
    "rmse": _Statistic(rmse, _resampled_rmse),
}


def _statistic(name: str) -> _Statistic:
    if name not in _STATISTICS:
        raise InputError(f"the statistic is {', '.join(_STATISTICS)}; not '{name}'")
    return _STATISTICS[name]


def _pair(predicted: ArrayLike, mos: ArrayLike, name: str = "prediction") -> tuple[Array, Array]:
    x, y = _vector(predicted, name), _vector(mos, "MOS")
    if len(x) != len(y):
        raise InputError(f"the {name} has {len(x)} values but the MOS {len(y)}: one for each image is needed")
    return x, y


def _vector(values: ArrayLike, name: str) -> Array:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {name} must be a list of numbers: {error}") from error
    if array.ndim != 1:
        raise InputError(f"the {name} must be a list of numbers, not an array of shape {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        where = int(np.argmin(finite))
        raise InputError(f"the {name} has {array[where]} at position {where}: every value must be finite")
    return array


def _units(groups: Sequence[Hashable] | None, images: int) -> NDArray[np.int64]:
    """What is resampled, by number: (N,)."""
    if groups is None:
        return np.arange(images)
    if len(groups) != images:
        raise InputError(f"there are {len(groups)} groups for {images} images: one for each image is needed")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def _varies(values: Array) -> bool:
    return len(values) > 1 and bool((values != values[0]).any())


def _plain(value: float | Interval) -> Any:
    if isinstance(value, Interval):
        return [_plain(bound) for bound in value]
    return None if math.isnan(value) else value
