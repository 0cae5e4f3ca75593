"""Pictures to which as many others as possible are similar.

Source: MaxHerding of Bae, Noh and Sutherland, "Generalized Coverage for More Robust Low-Budget Active
Learning", arXiv:2407.12212. The coverage of chosen pictures L is the mean over all pictures x of
max k(x, x') over x' in L, with a kernel k; it is maximised greedily.
"""

from collections.abc import Sequence

import numpy as np

_SAMPLE = 1000  # pictures over which coverage is a mean, where there are more
_AT_ONCE = 64  # gains that are computed together


def sampled_kernel(features: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Similarity of pictures to all pictures, or to a random sample of them.

    The kernel is Gaussian, exp(-d^2 / m), with the median m of the squared distances d^2 for a scale: the
    paper's scale of 1 is made for features that are further apart.

    Args:
        features: (N, D), L2-normalised.
        chance: Source of random numbers.

    Returns:
        (N, M) float32 in [0, 1]; M at most 1000.
    """
    vectors = np.asarray(features, np.float32)
    sample = vectors
    if len(vectors) > _SAMPLE:
        sample = vectors[chance.choice(len(vectors), _SAMPLE, replace=False)]
    squares = np.maximum(2 - 2 * vectors @ sample.T, 0)
    scale = float(np.median(np.maximum(2 - 2 * sample @ sample.T, 0)))
    squares /= -max(scale, 1e-12)
    return np.asarray(np.exp(squares))


def greedy_coverage(kernel: np.ndarray, count: int, taken: Sequence[int]) -> list[int]:
    """Choose pictures one by one, each where it adds most to the coverage.

    Args:
        kernel: (N, M) similarity of the pictures to those over which coverage is a mean.
        count: How many to choose, at most N less those taken.
        taken: Indices of pictures that were chosen before.

    Returns:
        Indices of the pictures, in the order in which they were chosen.
    """
    covered = kernel[list(taken)].max(axis=0) if len(taken) else np.zeros(kernel.shape[1], kernel.dtype)
    gains = np.empty(len(kernel))
    for first in range(0, len(kernel), _AT_ONCE):
        gains[first : first + _AT_ONCE] = _gains(kernel[first : first + _AT_ONCE], covered)
    gains[list(taken)] = -np.inf
    chosen: list[int] = []
    old = np.zeros(len(kernel), bool)
    while len(chosen) < count:
        # Gains only shrink, so an old one is an upper bound, and few need to be computed again (lazy greedy).
        while old[best := int(np.argmax(gains))]:
            likely = np.argsort(-gains, kind="stable")[:_AT_ONCE]
            likely = likely[old[likely]]
            gains[likely] = _gains(kernel[likely], covered)
            old[likely] = False
        chosen.append(best)
        covered = np.maximum(covered, kernel[best])
        gains[best] = -np.inf
        old = np.isfinite(gains)
    return chosen


def _gains(rows: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """What each picture (K, M) adds to what is covered, (M,)."""
    return np.asarray(np.maximum(rows - covered, 0).sum(axis=1))
