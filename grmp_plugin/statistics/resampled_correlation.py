"""SRCC, PLCC, KRCC and RMSE of many bootstrap resamples at once, from multiplicities."""

import math

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.statistics.arrays import Array

# Rows of the matrix of all pairs in memory at a time.
_BLOCK = 512


def rank_correlations(predictions: Array, mos: Array, counts: Array) -> Array:
    """SRCC of M predictions in each resample.

    Args:
        predictions: (M, N).
        mos: (N,).
        counts: (R, N) multiplicities.

    Returns:
        (R, M), nan if either is constant in the resample.
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
    """Average ranks minus their mean, (R, N), meaningless for absent images, and their sum of squares, (R,).

    For n ranks with t of them tied at each value, the sum of squares is (n**3 - sum of t**3) / 12.
    """
    inverse, together = _by_value(values, counts)
    total = counts.sum(axis=1)
    ranks = together.cumsum(axis=1) - (together + total[:, None]) / 2
    return ranks[:, inverse], (total**3 - np.einsum("rv,rv,rv->r", together, together, together)) / 12


def resampled_srcc(x: Array, y: Array, counts: Array) -> Array:
    """SRCC of (N,) and (N,) in each of R resamples, (R,); `counts` are (R, N) multiplicities."""
    return rank_correlations(x[None], y, counts)[:, 0]


def resampled_plcc(x: Array, y: Array, counts: Array) -> Array:
    """PLCC in each resample; arguments as for `resampled_srcc`."""
    return _correlations(x - x[0], y - y[0], counts, both_vary(x, y, counts))


def resampled_krcc(x: Array, y: Array, counts: Array) -> Array:
    """Tau-b of each resample: (R,).

    With multiplicities w and s = 1, 0, -1 for the concordant, tied and discordant pairs of images, the
    numerator is the sum of w_i s_ij w_j over all i < j; copies of an image are tied with each other.
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


def resampled_rmse(x: Array, y: Array, counts: Array) -> Array:
    """RMSE in each resample; arguments as for `resampled_srcc`."""
    errors: Array = np.sqrt(counts @ (x - y) ** 2 / counts.sum(axis=1))
    return errors


def _correlations(x: Array, y: Array, counts: Array, defined: NDArray[np.bool_]) -> Array:
    """Pearson's correlation of each resample: x, y are (N,) or (R, N), counts (R, N), the result (R,)."""
    total = counts.sum(axis=1, keepdims=True)
    x = x - (counts * x).sum(axis=1, keepdims=True) / total
    y = y - (counts * y).sum(axis=1, keepdims=True) / total
    weighted = counts * x
    covariance = np.einsum("rn,rn->r", weighted, y)
    x_deviation = np.sqrt(np.einsum("rn,rn->r", weighted, x))
    y_deviation = np.sqrt(np.einsum("rn,rn,rn->r", counts, y, y))
    # By rounding, the deviation of equal values is not exactly 0, hence `defined`.
    return np.clip(_quotients(covariance, x_deviation * y_deviation * defined), -1, 1)


def _quotients(numerator: Array, denominator: Array) -> Array:
    """Elementwise quotients, nan where the denominator is 0."""
    quotients = np.full(len(numerator), math.nan)
    np.divide(numerator, denominator, out=quotients, where=denominator > 0)
    return quotients


def both_vary(x: Array, y: Array, counts: Array) -> NDArray[np.bool_]:
    """Whether both vary within each resample, exactly: x, y are (N,), counts (R, N), the result (R,)."""
    return (_untied_pairs(x, counts) > 0) & (_untied_pairs(y, counts) > 0)


def _untied_pairs(values: Array, counts: Array) -> Array:
    """Number of pairs with different values in each resample: (R,), exact."""
    _, together = _by_value(values, counts)
    pairs: Array = (counts.sum(axis=1) ** 2 - np.einsum("rv,rv->r", together, together)) / 2
    return pairs


def _by_value(values: Array, counts: Array) -> tuple[NDArray[np.int64], Array]:
    """Index of each image's value among the V distinct ones, ascending, (N,), and their counts, (R, V)."""
    _, inverse, sizes = np.unique(values, return_inverse=True, return_counts=True)
    starts = np.cumsum(sizes) - sizes
    return inverse, np.add.reduceat(counts[:, np.argsort(inverse, kind="stable")], starts, axis=1)
