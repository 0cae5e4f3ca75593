"""On which images metrics disagree; no ratings are needed."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from grmp_plugin.statistics.arrays import Array, table

# Deviations that agree to this many decimals differ only by rounding.
_DECIMALS = 9


class Disputes(NamedTuple):
    """How much the metrics disagree on each image.

    Attributes:
        order: (N,) indices of the images, the most disputed first; ties in input order.
        deviation: (N,) standard deviation of an image's percentile rank over the metrics, 0 to 50.
    """

    order: NDArray[np.int64]
    deviation: Array


def rank_agreement(qualities: Sequence[ArrayLike] | Array) -> Array:
    """Spearman's rank correlation of each pair of metrics; tied values share their average rank.

    Args:
        qualities: (M, N) qualities by M metrics, higher is better.

    Returns:
        (M, M), symmetric, with 1 on the diagonal; nan in rows and columns of constant metrics, and
        everywhere for fewer than two images.

    Raises:
        InputError: Unless all metrics have the same number of finite values.
    """
    ranks = np.asarray(stats.rankdata(table(qualities, "quality by metric"), axis=1), dtype=np.float64)
    centred = ranks - (ranks.shape[1] + 1) / 2
    covariance = centred @ centred.T
    variance = np.diag(covariance)
    deviations = np.sqrt(np.outer(variance, variance))
    agreement = np.full_like(covariance, math.nan)
    np.divide(covariance, deviations, out=agreement, where=deviations > 0)
    return np.asarray(np.clip(agreement, -1, 1))


def percentile_ranks(quality: Array) -> Array:
    """Percentage of images that are worse, plus half the percentage of equal ones, including itself.

    Args:
        quality: (..., N) finite values, higher is better.

    Returns:
        (..., N) percentages, above 0 and below 100.
    """
    ranks: Array = np.asarray(stats.rankdata(quality, axis=-1), dtype=np.float64)
    percentages: Array = 100 * (ranks - 0.5) / max(1, quality.shape[-1])
    return percentages


def disputes(qualities: Sequence[ArrayLike] | Array) -> Disputes:
    """Find the images whose percentile ranks differ most between metrics.

    Constant metrics are left out.

    Args:
        qualities: (M, N) qualities by M metrics, higher is better.

    Returns:
        With fewer than two varying metrics, deviations are nan and the order is the input order.

    Raises:
        InputError: As for `rank_agreement`.
    """
    values = table(qualities, "quality by metric")
    images = values.shape[1]
    values = values[(values != values[:, :1]).any(axis=1)]
    if len(values) < 2:
        return Disputes(np.arange(images), np.full(images, math.nan))
    deviation = percentile_ranks(values).std(axis=0)
    return Disputes(np.argsort(-deviation.round(_DECIMALS), kind="stable"), deviation)
