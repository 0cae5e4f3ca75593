"""Where metrics contradict each other; no ratings are needed."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from grmp_plugin.evaluation.statistics import Array, table

# Decimals to which deviations must differ for an order between them; beyond, they differ by rounding alone.
_DECIMALS = 9


class Disputes(NamedTuple):
    """How much the metrics differ about each image.

    Attributes:
        order: (N,) the images by their numbers, the most disputed first; of equally disputed ones the lower
            number first.
        deviation: (N,) standard deviation over the metrics of an image's percentile rank, 0..50.
    """

    order: NDArray[np.int64]
    deviation: Array


def rank_agreement(qualities: Sequence[ArrayLike] | Array) -> Array:
    """Spearman's rank correlation of every pair of metrics; tied values share their average rank.

    Args:
        qualities: (M, N) of M metrics, higher is better.

    Returns:
        (M, M), symmetric, with 1 on the diagonal; nan in rows and columns of metrics whose values are all
        equal, everywhere for fewer than two images.

    Raises:
        InputError: when they are not finite numbers, as many from each metric.
    """
    ranks = _ranks(qualities)
    centred = ranks - (ranks.shape[1] + 1) / 2
    covariance = centred @ centred.T
    variance = np.diag(covariance)
    deviations = np.sqrt(np.outer(variance, variance))
    agreement = np.full_like(covariance, math.nan)
    np.divide(covariance, deviations, out=agreement, where=deviations > 0)
    return np.asarray(np.clip(agreement, -1, 1))


def disputes(qualities: Sequence[ArrayLike] | Array) -> Disputes:
    """Which images the metrics rank most differently.

    The percentile rank of an image is the part of the images that are worse, plus half of those that are
    equally good, itself among them, times 100. Metrics whose values are all equal rank nothing and are left
    out.

    Args:
        qualities: (M, N) of M metrics, higher is better.

    Returns:
        Deviations are nan, and the order is that given, where fewer than two metrics rank the images.

    Raises:
        InputError: as for `rank_agreement`.
    """
    ranks = _ranks(qualities)
    images = ranks.shape[1]
    ranks = ranks[(ranks != ranks[:, :1]).any(axis=1)]
    if len(ranks) < 2:
        return Disputes(np.arange(images), np.full(images, math.nan))
    # The percentile rank is 100 (rank - 1/2) / N: the half does not change the deviation.
    deviation = (100 * ranks / images).std(axis=0)
    return Disputes(np.argsort(-deviation.round(_DECIMALS), kind="stable"), deviation)


def _ranks(qualities: Sequence[ArrayLike] | Array) -> Array:
    """Average ranks, 1..N, of each metric by itself: (M, N)."""
    return np.asarray(stats.rankdata(table(qualities, "quality by metric"), axis=1), dtype=np.float64)
