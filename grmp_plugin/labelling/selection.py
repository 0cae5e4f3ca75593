"""Which pictures to rate: strategies that choose from a pool."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy.cluster.vq import kmeans2

from grmp_plugin.labelling.pool import Pool

_NEIGHBOURS = 20  # of a typical member, as in TypiClust
_ROUNDS = 30  # of k-means
_QUALITY_LEVELS = 5  # of the strategy `both`

Strategy = Callable[[Pool, int, Sequence[int], np.random.Generator], list[int]]
"""Pool, number of pictures to choose, indices that were chosen before, random numbers -> indices."""


def choose(
    strategy: str, pool: Pool, count: int, taken: Sequence[int], chance: np.random.Generator
) -> list[int]:
    """Choose pictures to rate.

    Args:
        strategy: A name of `STRATEGIES`.
        pool: N pictures.
        count: How many to choose; all others where there are fewer.
        taken: Indices of pictures that were chosen before; none of them is chosen again.
        chance: Source of random numbers.

    Returns:
        Indices into the pool.
    """
    count = min(count, len(pool.paths) - len(set(taken)))
    return STRATEGIES[strategy](pool, count, taken, chance) if count else []


def _random(pool: Pool, count: int, taken: Sequence[int], chance: np.random.Generator) -> list[int]:
    others = np.setdiff1d(np.arange(len(pool.paths)), np.asarray(taken, np.int64))
    return [int(index) for index in chance.permutation(others)[:count]]


def _typical_members(pool: Pool, count: int, taken: Sequence[int], chance: np.random.Generator) -> list[int]:
    """Typical members of clusters of image features.

    Source: TypiClust of "Active Learning on a Budget", arXiv:2202.02794: as many clusters as there are
    pictures with the new ones; of the largest clusters that hold no picture yet, the most typical member.
    """
    return _of_groups(pool, _clusters(pool.features, len(set(taken)) + count, chance), count, taken)


def _spread(pool: Pool, count: int, taken: Sequence[int], chance: np.random.Generator) -> list[int]:
    """A random picture of each of equally large groups in the order of predicted quality."""
    groups = _levels(pool.scores, len(set(taken)) + count)
    chosen: list[int] = []
    empty = np.setdiff1d(groups, groups[np.asarray(taken, np.int64)])
    for group in chance.permutation(empty)[:count]:
        chosen.append(int(chance.choice(_members(groups, int(group)))))
    return chosen + _random(pool, count - len(chosen), [*taken, *chosen], chance)


def _both(pool: Pool, count: int, taken: Sequence[int], chance: np.random.Generator) -> list[int]:
    """Typical members of clusters inside each of five levels of predicted quality."""
    levels = _levels(pool.scores, _QUALITY_LEVELS)
    chosen: list[int] = []
    for level in range(int(levels.max()) + 1):
        members = _members(levels, level)
        here = [index for index in taken if levels[index] == level]
        # Levels share what is left evenly, so that rounding loses no picture.
        wanted = (count - len(chosen)) // (int(levels.max()) + 1 - level)
        wanted = min(wanted, len(members) - len(here))
        if wanted < 1:
            continue
        clusters = np.full(len(pool.paths), -1)
        clusters[members] = _clusters(pool.features[members], len(here) + wanted, chance)
        chosen += _of_groups(pool, clusters, wanted, here)
    return chosen + _random(pool, count - len(chosen), [*taken, *chosen], chance)


STRATEGIES: dict[str, Strategy] = {
    "random": _random,
    "clusters": _typical_members,
    "spread": _spread,
    "both": _both,
}
"""Name -> strategy."""


def _clusters(features: np.ndarray, count: int, chance: np.random.Generator) -> np.ndarray:
    """Number of the cluster of each picture, (N,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty cluster is one picture less to be typical of
        found = kmeans2(features, min(count, len(features)), iter=_ROUNDS, minit="++", seed=chance)
    return np.asarray(found[1])


def _levels(scores: np.ndarray, count: int) -> np.ndarray:
    """Number of the level of each picture, (N,): equally many pictures each, from bad to good."""
    order = np.argsort(scores, kind="stable")
    levels = np.empty(len(scores), np.int64)
    levels[order] = np.arange(len(scores)) * min(count, len(scores)) // len(scores)
    return levels


def _of_groups(pool: Pool, groups: np.ndarray, count: int, taken: Sequence[int]) -> list[int]:
    """The most typical pictures of groups: of those with few chosen members, the largest first."""
    chosen: list[int] = []
    while len(chosen) < count:
        used = np.array([*taken, *chosen], np.int64)
        free = np.setdiff1d(np.flatnonzero(groups >= 0), used)
        held = np.bincount(groups[used], minlength=int(groups.max()) + 1)
        left = np.bincount(groups[free], minlength=int(groups.max()) + 1)
        group = min(np.flatnonzero(left), key=lambda each: (held[each], -left[each]))
        members = np.setdiff1d(_members(groups, int(group)), used)
        chosen.append(int(members[np.argmax(_typicality(pool.features, members, groups))]))
    return chosen


def _typicality(features: np.ndarray, members: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Inverse of the mean distance of each member (M,) to its nearest neighbours in its group."""
    everyone = _members(groups, int(groups[members[0]]))
    # Of vectors of length 1; without an array (M, M, D).
    distances = np.sqrt(np.maximum(0, 2 - 2 * features[members] @ features[everyone].T))
    nearest = np.sort(distances, axis=1)[:, 1 : _NEIGHBOURS + 1]
    mean = nearest.mean(axis=1) if nearest.shape[1] else np.zeros(len(members))
    return np.asarray(1 / np.maximum(mean, 1e-12))


def _members(groups: np.ndarray, group: int) -> np.ndarray:
    return np.flatnonzero(groups == group)
