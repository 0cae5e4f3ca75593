"""Which metric leads a comparison, which are not significantly different from it, and how images rank."""

import math

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.evaluation.comparison import Comparison
from grmp_plugin.statistics.disagreement import percentile_ranks

Array = NDArray[np.float64]


def leader(comparison: Comparison) -> int | None:
    """Index of the metric with the highest SRCC; None where no SRCC is defined."""
    first = next(iter(comparison.working()), None)
    return None if first is None or math.isnan(comparison.srcc_of(first)) else first


def tied(comparison: Comparison) -> list[int]:
    """Indices of the other metrics that are not significantly different from the leader."""
    first = leader(comparison)
    found = []
    for index in comparison.working():
        agreement = comparison.agreement_of(index)
        if index != first and agreement is not None and agreement.best and not math.isnan(agreement.srcc):
            found.append(index)
    return found


def pairs_by_agreement(comparison: Comparison) -> list[tuple[float, int, int]]:
    """SRCC between every two working metrics, where defined, with their indices; the highest first."""
    numbers = sorted(comparison.working())
    pairs = [
        (float(comparison.ranks[first, second]), first, second)
        for at, first in enumerate(numbers)
        for second in numbers[at + 1 :]
    ]
    return sorted((pair for pair in pairs if not math.isnan(pair[0])), key=lambda pair: -pair[0])


def ranks_among(quality: Array, judged: NDArray[np.bool_]) -> Array:
    """Percentile rank of each judged image among the judged ones.

    Args:
        quality: (N,), higher is better.
        judged: (N,) which images are judged.

    Returns:
        (N,) 0..100; nan for images that are not judged or have no score, 50 for a single image.
    """
    ranks = np.full(len(quality), math.nan)
    among = judged & np.isfinite(quality)
    ranks[among] = percentile_ranks(quality[among])
    return ranks
