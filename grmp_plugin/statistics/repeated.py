"""Methods compared over repeated splits of one data set.

Every method is judged on the same splits, so differences are paired. They are tested by Wilcoxon's
signed-rank test, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1, 1945, corrected by
Holm's procedure for the number of comparisons with the best. Splits of one data set share images: a p-value
says whether a difference outlasts the choice of the split, not whether it holds for other images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from grmp_plugin.statistics.significance import holm

_LEVEL = 0.05


@dataclass(frozen=True)
class Standing:
    """One method beside the best.

    Attributes:
        p_value: Two-sided and corrected; NaN for the best itself, and with fewer than two common splits.
        splits: Number of splits that it has in common with the best.
        best: Whether it is the best, or not significantly different from it at the 5% level, where the splits
            are enough to tell.
        decidable: Whether they are: with n splits no p-value is below 2 / 2**n, before it is corrected.
    """

    p_value: float
    splits: int
    best: bool
    decidable: bool


def standings(values: Sequence[Sequence[float]]) -> list[Standing]:
    """Compare methods with the one of the highest median.

    Args:
        values: M lists of K values, one for each split; NaN where a method has none.

    Returns:
        M entries. Methods without any value are never best.
    """
    table = np.array(values, np.float64).reshape(len(values), -1)
    medians = [_median(row) for row in table]
    if all(math.isnan(median) for median in medians):
        return [Standing(math.nan, 0, False, False) for _ in medians]
    best = int(np.nanargmax(medians))
    common = [~np.isnan(row) & ~np.isnan(table[best]) for row in table]
    p_values = np.array(
        [
            math.nan if number == best else _paired(table[best][shared], row[shared])
            for number, (row, shared) in enumerate(zip(table, common, strict=True))
        ]
    )
    comparisons = int(np.count_nonzero(~np.isnan(p_values)))
    return [
        _standing(float(p), int(shared.sum()), comparisons, leads=number == best)
        for number, (p, shared) in enumerate(zip(holm(p_values), common, strict=True))
    ]


def _standing(p_value: float, splits: int, comparisons: int, *, leads: bool) -> Standing:
    decidable = not math.isnan(p_value) and comparisons * 2.0 ** (1 - splits) <= _LEVEL
    return Standing(p_value, splits, leads or (decidable and p_value > _LEVEL), leads or decidable)


def _median(row: np.ndarray) -> float:
    known = row[~np.isnan(row)]
    return float(np.median(known)) if len(known) else math.nan


def _paired(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p-value of paired differences."""
    differences = first - second
    if len(differences) < 2:
        return math.nan
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)
