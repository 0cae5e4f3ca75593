"""How well predictions tell pairs of images apart that people tell apart.

Krasula, Fliegel, Le Callet and Klima, "On the accuracy of objective image and video quality models: New
methodology for performance evaluation", QoMEX 2016, doi:10.1109/QoMEX.2016.7498936. No curve is fitted, and
what is within the uncertainty of the ratings does not count as a difference. Both results are areas under ROC
curves (AUC): how probable it is that a prediction puts one of the first kind of pair above one of the second,
ties counted as one half.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from grmp_plugin.errors import InputError
from grmp_plugin.statistics.arrays import Array, paired, vector

# 1.96: the two-sided 95% quantile of the normal distribution.
_QUANTILE = NormalDist().inv_cdf(0.975)
# All pairs of 2000 images; a second or so of sorting.
_MOST_PAIRS = 2_000_000


@dataclass(frozen=True)
class PairAnalysis:
    """What is undefined is nan.

    Attributes:
        different_similar: AUC of telling pairs of different from pairs of similar quality, by the absolute
            difference of the predictions; 0.5 for guessing.
        better_worse: AUC of telling which image of a pair of different quality is the better one.
        different: how many of the pairs are of different quality.
        similar: how many are not.
        remark: why something is undefined; empty where nothing is.
    """

    different_similar: float
    better_worse: float
    different: int
    similar: int
    remark: str


def pair_analysis(
    predicted: ArrayLike, mos: ArrayLike, standard_errors: ArrayLike, seed: int = 0
) -> PairAnalysis:
    """Both analyses of Krasula et al. for one metric.

    A pair is of different quality where its MOS differ by more than 1.96 standard errors of the difference,
    which is significance at 5% for a pair by itself. For more than 2000 images two million pairs are drawn
    by chance, with replacement; an AUC then has a standard error of at most 0.5 / sqrt(K) beside that of
    using all pairs, K being the lower one of the two numbers of pairs it compares. All metrics get the same
    pairs with the same seed.

    Args:
        predicted: (N,) predicted quality, higher is better.
        mos: (N,) mean opinion scores, higher is better.
        standard_errors: (N,) of the MOS, in their unit: deviation of the ratings / sqrt(number of ratings).
        seed: of the choice of pairs.

    Returns:
        `different_similar` is nan without different or without similar pairs, `better_worse` without
        different ones.

    Raises:
        InputError: when the three are not finite numbers of one length, or a standard error is negative.
    """
    x, y = paired(predicted, mos)
    errors = vector(standard_errors, "standard errors")
    if len(errors) != len(y):
        raise InputError(f"there are {len(errors)} standard errors for {len(y)} images")
    if (errors < 0).any():
        where = int(np.argmax(errors < 0))
        raise InputError(f"the standard error at position {where} is negative: {errors[where]}")

    first, second = _pairs(len(y), seed)
    difference = y[first] - y[second]
    # Without a division, so that errors of 0 need no care.
    different = np.abs(difference) > _QUANTILE * np.hypot(errors[first], errors[second])
    predicted_difference = x[first] - x[second]
    size = np.abs(predicted_difference)
    towards_better = (predicted_difference * np.sign(difference))[different]
    count = int(np.count_nonzero(different))
    similar = len(different) - count
    return PairAnalysis(
        different_similar=_auc(size[different], size[~different]),
        # Each pair in both orders: as better and worse image, and as worse and better one.
        better_worse=_auc(towards_better, -towards_better),
        different=count,
        similar=similar,
        remark=_remark(count, similar),
    )


def _remark(different: int, similar: int) -> str:
    if different and similar:
        return ""
    if different + similar == 0:
        return "fewer than two images"
    return "no two images differ in quality" if similar else "no two images are similar in quality"


def _pairs(images: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two different images for each pair: (P,) and (P,)."""
    if images * (images - 1) // 2 <= _MOST_PAIRS:
        first, second = np.triu_indices(images, 1)
        return first, second
    generator = np.random.default_rng(seed)
    first = generator.integers(images, size=_MOST_PAIRS)
    # One of the others, all equally probable.
    second = (first + generator.integers(1, images, size=_MOST_PAIRS)) % images
    return first, second


def _auc(positive: Array, negative: Array) -> float:
    """Probability that one of the first is above one of the second, plus half that they are equal.

    By rank sums (Mann and Whitney, 1947, doi:10.1214/aoms/1177730491).
    """
    if len(positive) == 0 or len(negative) == 0:
        return math.nan
    ranks = stats.rankdata(np.concatenate((positive, negative)))
    above = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))
