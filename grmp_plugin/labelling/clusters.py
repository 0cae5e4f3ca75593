"""Typical members of clusters.

Source: TypiClust of "Active Learning on a Budget", arXiv:2202.02794: as many clusters as there are pictures
with the new ones; of the largest clusters that hold no picture yet, the most typical member.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.cluster.vq import kmeans2

_NEIGHBOURS = 20  # of a typical member, as in TypiClust
_ROUNDS = 30  # of k-means
_ROWS = 1024  # of a matrix of distances at once


def typical_members(
    features: np.ndarray, count: int, taken: Sequence[int], chance: np.random.Generator
) -> list[int]:
    """Typical members of clusters: of those with the fewest chosen members, the largest first.

    Args:
        features: (N, D), L2-normalised.
        count: How many to choose, at most N less those taken.
        taken: Indices that were chosen before.
        chance: Source of random numbers.

    Returns:
        Indices of the members.
    """
    if count < 1:
        return []
    # Half the memory, and twice as fast.
    vectors = np.asarray(features, np.float32)
    groups = _k_means(vectors, len(set(taken)) + count, chance)
    free = np.ones(len(vectors), bool)
    free[list(taken)] = False
    sizes = int(groups.max()) + 1
    held = np.bincount(groups[~free], minlength=sizes)
    left = np.bincount(groups[free], minlength=sizes)
    waiting: dict[int, list[int]] = {}
    chosen: list[int] = []
    while len(chosen) < count:
        group = int(min(np.flatnonzero(left), key=lambda each: (held[each], -left[each])))
        if group not in waiting:
            members = members_of(groups, group)
            order = np.argsort(-_typicality(vectors[members]), kind="stable")
            waiting[group] = [int(at) for at in members[order] if free[at]][::-1]
        chosen.append(waiting[group].pop())
        held[group] += 1
        left[group] -= 1
    return chosen


def members_of(groups: np.ndarray, group: int) -> np.ndarray:
    """Indices of the members of a group, given the group of each."""
    return np.flatnonzero(groups == group)


def _k_means(vectors: np.ndarray, count: int, chance: np.random.Generator) -> np.ndarray:
    """Number of the cluster of each vector, (N,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty cluster is one picture less to be typical of
        # SciPy's own choice of the first centres takes time with the square of their number.
        found = kmeans2(vectors, _first_centres(vectors, count, chance), iter=_ROUNDS, minit="matrix")
    return np.asarray(found[1])


def _first_centres(vectors: np.ndarray, count: int, chance: np.random.Generator) -> np.ndarray:
    """Vectors that are far from each other, by k-means++."""
    lengths = (vectors**2).sum(axis=1)
    chosen = [int(chance.integers(len(vectors)))]
    nearest = np.full(len(vectors), np.inf)
    while len(chosen) < min(count, len(vectors)):
        new = chosen[-1]
        distances = lengths + lengths[new] - 2 * (vectors @ vectors[new])
        nearest = np.minimum(nearest, np.maximum(distances, 0))
        nearest[new] = 0
        total = nearest.sum()
        chosen.append(int(chance.choice(len(vectors), p=nearest / total if total > 0 else None)))
    return vectors[chosen]


def _typicality(members: np.ndarray) -> np.ndarray:
    """Inverse of the mean distance of each member (M, D) to its nearest neighbours in its group, (M,)."""
    others = min(_NEIGHBOURS, len(members) - 1)
    if others == 0:
        return np.zeros(len(members))
    mean = np.empty(len(members))
    for first in range(0, len(members), _ROWS):
        # Of vectors of length 1; without an array (M, M, D). The nearest is the member itself.
        squares = 2 - 2 * members[first : first + _ROWS] @ members.T
        nearest = np.partition(squares, others, axis=1)[:, : others + 1]
        mean[first : first + _ROWS] = np.sqrt(np.maximum(nearest, 0)).sum(axis=1) / others
    return 1 / np.maximum(mean, 1e-12)
