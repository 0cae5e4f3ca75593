"""Where metrics contradict each other; no ratings are needed."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from grmp_plugin.statistics.arrays import Array, table

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
    ranks = np.asarray(stats.rankdata(table(qualities, "quality by metric"), axis=1), dtype=np.float64)
    centred = ranks - (ranks.shape[1] + 1) / 2
    covariance = centred @ centred.T
    variance = np.diag(covariance)
    deviations = np.sqrt(np.outer(variance, variance))
    agreement = np.full_like(covariance, math.nan)
    np.divide(covariance, deviations, out=agreement, where=deviations > 0)
    return np.asarray(np.clip(agreement, -1, 1))


def percentile_ranks(quality: Array) -> Array:
    """The part of the images that are worse, plus half of those that are equally good, itself among them.

    Args:
        quality: (..., N), finite, higher is better.

    Returns:
        (..., N) in percent, above 0 and below 100.
    """
    ranks = np.asarray(stats.rankdata(quality, axis=-1), dtype=np.float64)
    return 100 * (ranks - 0.5) / max(1, quality.shape[-1])


def disputes(qualities: Sequence[ArrayLike] | Array) -> Disputes:
    """Which images the metrics rank most differently, by `percentile_ranks`.

    Metrics whose values are all equal rank nothing and are left out.

    Args:
        qualities: (M, N) of M metrics, higher is better.

    Returns:
        Deviations are nan, and the order is that given, where fewer than two metrics rank the images.

    Raises:
        InputError: as for `rank_agreement`.
    """
    values = table(qualities, "quality by metric")
    images = values.shape[1]
    values = values[(values != values[:, :1]).any(axis=1)]
    if len(values) < 2:
        return Disputes(np.arange(images), np.full(images, math.nan))
    deviation = percentile_ranks(values).std(axis=0)
    return Disputes(np.argsort(-deviation.round(_DECIMALS), kind="stable"), deviation)
