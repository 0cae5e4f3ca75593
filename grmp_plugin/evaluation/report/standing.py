"""Which metrics of a comparison work, which one leads, and in what order they are shown."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from grmp_plugin.evaluation.comparison import Comparison, MetricAgreement

Array = NDArray[np.float64]


def agreement_of(comparison: Comparison, index: int) -> MetricAgreement | None:
    """Agreement of a metric with MOS; None without ratings, and for a metric that failed."""
    return comparison.agreements[index] if comparison.agreements else None


def srcc_of(comparison: Comparison, index: int) -> float:
    """SRCC of a metric with MOS; nan where there is none."""
    agreement = agreement_of(comparison, index)
    return math.nan if agreement is None else agreement.srcc


def working(comparison: Comparison) -> list[int]:
    """Numbers of the metrics that did not fail, the highest SRCC first; as asked for without ratings."""
    numbers = [index for index, metric in enumerate(comparison.metrics) if metric.error is None]
    srcc = {index: srcc_of(comparison, index) for index in numbers}
    return sorted(numbers, key=lambda index: math.inf if math.isnan(srcc[index]) else -srcc[index])


def leader(comparison: Comparison) -> int | None:
    """Number of the metric with the highest SRCC; None where no SRCC is defined."""
    first = next(iter(working(comparison)), None)
    return None if first is None or math.isnan(srcc_of(comparison, first)) else first


def tied(comparison: Comparison) -> list[int]:
    """Numbers of the metrics, beside the leader, that cannot be told from it."""
    first = leader(comparison)
    found = []
    for index in working(comparison):
        agreement = agreement_of(comparison, index)
        if index != first and agreement is not None and agreement.best and not math.isnan(agreement.srcc):
            found.append(index)
    return found


def pairs_by_agreement(comparison: Comparison) -> list[tuple[float, int, int]]:
    """SRCC of the ranks of every two working metrics where it is defined, the highest first."""
    numbers = sorted(working(comparison))
    pairs = [
        (float(comparison.ranks[first, second]), first, second)
        for at, first in enumerate(numbers)
        for second in numbers[at + 1 :]
    ]
    return sorted((pair for pair in pairs if not math.isnan(pair[0])), key=lambda pair: -pair[0])


def percentile_ranks(quality: Array, judged: NDArray[np.bool_]) -> Array:
    """Percentile rank of each judged image among them, as disagreement.disputes defines it.

    Args:
        quality: (N,), higher is better.
        judged: (N,)

    Returns:
        (N,) 0..100, nan for images that are not judged or have no score; 50 for the only one.
    """
    ranks = np.full(len(quality), math.nan)
    among = judged & np.isfinite(quality)
    ranks[among] = 100 * (stats.rankdata(quality[among]) - 0.5) / max(1, among.sum())
    return ranks
