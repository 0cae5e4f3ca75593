"""How well predictions separate pairs of images that people separate.

Krasula, Fliegel, Le Callet and Klima, "On the accuracy of objective image and video quality models: New
methodology for performance evaluation", QoMEX 2016, doi:10.1109/QoMEX.2016.7498936. No curve is fitted, and
differences within the uncertainty of the ratings do not count. Both results are areas under ROC curves (AUC):
the probability that a prediction ranks a pair of the first kind above one of the second, with ties as 1/2.
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
# All pairs of 2000 images; sorting takes about a second.
_MOST_PAIRS = 2_000_000


@dataclass(frozen=True)
class PairAnalysis:
    """Results of both analyses; nan where undefined.

    Attributes:
        different_similar: AUC for separating pairs of different quality from pairs of similar quality by the
            absolute difference of the predictions; 0.5 for guessing.
        better_worse: AUC for finding the better image of a pair of different quality.
        different: Number of pairs of different quality.
        similar: Number of other pairs.
        remark: Why something is undefined; may be empty.
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

    A pair is of different quality if its MOS differ by more than 1.96 standard errors of the difference,
    which is significance at the 5% level for a single pair. For more than 2000 images, two million pairs are
    drawn at random with replacement; this adds a standard error of at most 0.5 / sqrt(K) to an AUC, where K
    is the smaller of the two numbers of pairs that it compares. The same seed gives all metrics the same
    pairs.

    Args:
        predicted: (N,) predicted quality, higher is better.
        mos: (N,) mean opinion scores, higher is better.
        standard_errors: (N,) standard errors of the MOS, in their unit: standard deviation of the ratings /
            sqrt(number of ratings).
        seed: Seed for drawing pairs.

    Returns:
        `different_similar` is nan without different or without similar pairs, `better_worse` without
        different pairs.

    Raises:
        InputError: Unless all three are finite numbers of the same length, and no standard error is negative.
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
    # No division, so that standard errors of 0 are allowed.
    different = np.abs(difference) > _QUANTILE * np.hypot(errors[first], errors[second])
    predicted_difference = x[first] - x[second]
    size = np.abs(predicted_difference)
    towards_better = (predicted_difference * np.sign(difference))[different]
    count = int(np.count_nonzero(different))
    similar = len(different) - count
    return PairAnalysis(
        different_similar=_auc(size[different], size[~different]),
        # Each pair in both orders: better image first, and worse image first.
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
    """Indices of the two different images of each pair: (P,) and (P,)."""
    if images * (images - 1) // 2 <= _MOST_PAIRS:
        first, second = np.triu_indices(images, 1)
        return first, second
    generator = np.random.default_rng(seed)
    first = generator.integers(images, size=_MOST_PAIRS)
    # Any other image with equal probability.
    second = (first + generator.integers(1, images, size=_MOST_PAIRS)) % images
    return first, second


def _auc(positive: Array, negative: Array) -> float:
    """Probability that a positive exceeds a negative, plus half the probability that they are equal.

    Computed from rank sums (Mann and Whitney, 1947, doi:10.1214/aoms/1177730491).
    """
    if len(positive) == 0 or len(negative) == 0:
        return math.nan
    ranks = stats.rankdata(np.concatenate((positive, negative)))
    above = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))
