"""SRCC, PLCC, KRCC and RMSE of predicted quality and mean opinion scores (MOS)."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from grmp_plugin.statistics.arrays import paired, varies


def srcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Spearman's rank correlation; tied values share their average rank.

    Args:
        predicted: (N,) predicted quality.
        mos: (N,) mean opinion scores, in any unit.

    Returns:
        Between -1 and 1; nan if either is constant or there are fewer than two images.

    Raises:
        InputError: Unless both are finite numbers of the same length.
    """
    x, y = paired(predicted, mos)
    return float(stats.spearmanr(x, y).statistic) if varies(x) and varies(y) else math.nan


def plcc(predicted: ArrayLike, mos: ArrayLike) -> float:
    """Pearson's correlation, without a fitted curve; arguments, nan and errors as for `srcc`."""
    x, y = paired(predicted, mos)
    if not (varies(x) and varies(y)):
        return math.nan
    # Without the shift, small differences of large values would lose digits, and scipy would warn.
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
