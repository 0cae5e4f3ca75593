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

MIN_IMAGES = 5
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
    x, y = paired(predicted, mos)
    return float(stats.spearmanr(x, y).statistic) if varies(x) and varies(y) else math.nan


def plcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Pearson's correlation of the values as given; arguments, nan and errors as for `srcc`."""
    x, y = paired(predicted, mos)
    if not (varies(x) and varies(y)):
        return math.nan
    # Without the shift, differences that are small beside the values would lose digits, and scipy would warn.
    return float(stats.pearsonr(x - x[0], y - y[0]).statistic)


def krcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Kendall's rank correlation, tau-b; arguments, nan and errors as for `srcc`."""
    x, y = paired(predicted, mos)
    return float(stats.kendalltau(x, y).statistic) if varies(x) and varies(y) else math.nan


def rmse(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Root mean squared error in units of the MOS; arguments and errors as for `srcc`.

    Returns:
        0 or more; nan for fewer than two images.
    """
    x, y = paired(predicted, mos)
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
        mos: (N,) mean opinion scores, on the scale of the predictions if RMSE is to mean anything.
        groups: (N,) which reference each image was made from.
        seed: of the resampling.

    Raises:
        InputError: as for `bootstrap_interval`.
    """
    x, y = paired(predicted, mos)
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
    array = vector(values, "values of the splits")
    splits = len(array)
    if splits == 0:
        return Spread(0, math.nan, UNDEFINED, math.nan, math.nan)
    interval = UNDEFINED
    if splits >= _MIN_SPLITS:
        drawn = np.random.default_rng(seed).integers(splits, size=(resamples, splits))
        interval = percentiles(np.median(array[drawn], axis=1), 0.95)
    return Spread(splits, float(np.median(array)), interval, float(array.min()), float(array.max()))


def over_resamples(
    evaluate: Callable[[Array], Array],
    images: int,
    groups: Sequence[Hashable] | None,
    seed: int,
    resamples: int,
) -> Array:
    """A function of multiplicities over bootstrap resamples, evaluated on a few resamples at a time.

    Args:
        evaluate: from (R, N) multiplicities to (R, ...) values.
        images: N.
        groups: (N,) which reference each image was made from; without it, every image stands for itself.
        seed: of the resampling; with the same seed, images and groups the resamples are the same.
        resamples: how many, at least 1.

    Returns:
        (resamples, ...) values, or (0,) for fewer than 5 images and for fewer than 3 groups.

    Raises:
        InputError: when there is not one group for each image.
    """
    units = _units(groups, images)
    count = len(set(units.tolist()))
    if images < MIN_IMAGES or (groups is not None and count < _MIN_GROUPS):
        return np.empty(0)
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // images)
    parts = [
        evaluate(_multiplicities(generator, min(rows, resamples - start), count)[:, units])
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def _multiplicities(generator: np.random.Generator, resamples: int, count: int) -> Array:
    """How often each resample contains each of `count` units: (R, U), every row adds up to U."""
    drawn = generator.integers(count, size=(resamples, count))
    drawn += count * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(drawn.shape).astype(np.float64)


def percentiles(values: Array, level: float = 0.95) -> Interval:
    """Percentile interval of (R,) bootstrap values: undefined without any, or if more than half are nan."""
    defined = values[~np.isnan(values)]
    if len(defined) == 0 or 2 * len(defined) < len(values):
        return UNDEFINED
    low, high = np.quantile(defined, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(low), float(high))


def rank_correlations(predictions: Array, mos: Array, counts: Array) -> Array:
    """SRCC of M predictions in each resample.

    Args:
        predictions: (M, N).
        mos: (N,).
        counts: (R, N) multiplicities.

    Returns:
        (R, M), nan where either is constant in the resample.
    """
    mos_ranks, mos_scatter = _centred_ranks(mos, counts)
    weighted = counts * mos_ranks
    correlations = np.empty((len(counts), len(predictions)))
    for column, prediction in enumerate(predictions):
        ranks, scatter = _centred_ranks(prediction, counts)
        covariance = np.einsum("rn,rn->r", weighted, ranks)
        correlations[:, column] = _quotients(covariance, np.sqrt(scatter * mos_scatter))
    return np.clip(correlations, -1, 1)


def _centred_ranks(values: Array, counts: Array) -> tuple[Array, Array]:
    """Average ranks without their mean, (R, N), of no meaning where an image is absent; their squares' sum.

    The sum, (R,), is that of n ranks with t of them tied at each value: (n**3 - sum of t**3) / 12.
    """
    inverse, together = _by_value(values, counts)
    total = counts.sum(axis=1)
    ranks = together.cumsum(axis=1) - (together + total[:, None]) / 2
    return ranks[:, inverse], (total**3 - np.einsum("rv,rv,rv->r", together, together, together)) / 12


def _resampled_srcc(x: Array, y: Array, counts: Array) -> Array:
    return rank_correlations(x[None], y, counts)[:, 0]


def _resampled_plcc(x: Array, y: Array, counts: Array) -> Array:
    return _correlations(x - x[0], y - y[0], counts, both_vary(x, y, counts))


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


def both_vary(x: Array, y: Array, counts: Array) -> NDArray[np.bool_]:
    """Whether neither is constant in each resample: x, y are (N,), counts (R, N), the result (R,), exact."""
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


def paired(predicted: ArrayLike, mos: ArrayLike, name: str = "prediction") -> tuple[Array, Array]:
    """Both as arrays, (N,), of float64; an InputError when they are not finite numbers of one length."""
    x, y = vector(predicted, name), vector(mos, "MOS")
    if len(x) != len(y):
        raise InputError(f"the {name} has {len(x)} values but the MOS {len(y)}: one for each image is needed")
    return x, y


def vector(values: ArrayLike, name: str) -> Array:
    """A list of numbers as (N,) of float64; an InputError that says `name` when it is none, or not finite."""
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


def table(rows: Sequence[ArrayLike] | Array, name: str) -> Array:
    """M lists of numbers of one length as (M, N) of float64; an InputError that says `name` otherwise."""
    vectors = [vector(row, f"{name} {number}") for number, row in enumerate(rows)]
    for number, values in enumerate(vectors):
        if len(values) != len(vectors[0]):
            raise InputError(f"the {name} {number} has {len(values)} values but {name} 0 {len(vectors[0])}")
    return np.stack(vectors) if vectors else np.empty((0, 0))


def _units(groups: Sequence[Hashable] | None, images: int) -> NDArray[np.int64]:
    """What is resampled, by number: (N,)."""
    if groups is None:
        return np.arange(images)
    if len(groups) != images:
        raise InputError(f"there are {len(groups)} groups for {images} images: one for each image is needed")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def varies(values: Array) -> bool:
    """Whether (N,) values are not all equal."""
    return len(values) > 1 and bool((values != values[0]).any())


def _plain(value: float | Interval) -> Any:
    if isinstance(value, Interval):
        return [_plain(bound) for bound in value]
    return None if math.isnan(value) else value
