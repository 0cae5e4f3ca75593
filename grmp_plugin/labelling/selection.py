"""Which pictures to rate: the strategies, by name."""

from collections.abc import Callable, Sequence

import numpy as np

from grmp_plugin.labelling.candidates import Candidates
from grmp_plugin.labelling.clusters import members_of, typical_members
from grmp_plugin.labelling.coverage import greedy_coverage, sampled_kernel
from grmp_plugin.labelling.experimental_design import least_variance

_QUALITY_LEVELS = 5  # of the strategy `both`

Strategy = Callable[[Candidates, int, Sequence[int], np.random.Generator], list[int]]
"""Candidates, number of pictures to choose, indices that were chosen before, random numbers -> indices."""


def choose(
    strategy: str, candidates: Candidates, count: int, taken: Sequence[int], chance: np.random.Generator
) -> list[int]:
    """Choose pictures to rate.

    Args:
        strategy: A name of `STRATEGIES`.
        candidates: N pictures.
        count: How many to choose; all others where there are fewer.
        taken: Indices of pictures that were chosen before; none of them is chosen again.
        chance: Source of random numbers.

    Returns:
        Indices of the pictures.
    """
    count = min(count, len(candidates.scores) - len(set(taken)))
    return STRATEGIES[strategy](candidates, count, taken, chance) if count > 0 else []


def _random(
    candidates: Candidates, count: int, taken: Sequence[int], chance: np.random.Generator
) -> list[int]:
    others = np.setdiff1d(np.arange(len(candidates.scores)), np.asarray(taken, np.int64))
    return [int(index) for index in chance.permutation(others)[:count]]


def _clusters(
    candidates: Candidates, count: int, taken: Sequence[int], chance: np.random.Generator
) -> list[int]:
    """Typical members of clusters of image features."""
    return typical_members(candidates.features, count, taken, chance)


def _maxherding(
    candidates: Candidates, count: int, taken: Sequence[int], chance: np.random.Generator
) -> list[int]:
    """Pictures to which as many as possible are similar."""
    return greedy_coverage(sampled_kernel(candidates.features, chance), count, taken)


def _spread(
    candidates: Candidates, count: int, taken: Sequence[int], chance: np.random.Generator
) -> list[int]:
    """A random picture of each of equally large groups in the order of predicted quality."""
    groups = _levels(candidates.scores, len(set(taken)) + count)
    chosen: list[int] = []
    empty = np.setdiff1d(groups, groups[np.asarray(taken, np.int64)])
    for group in chance.permutation(empty)[:count]:
        chosen.append(int(chance.choice(members_of(groups, int(group)))))
    return chosen + _random(candidates, count - len(chosen), [*taken, *chosen], chance)


def _both(candidates: Candidates, count: int, taken: Sequence[int], chance: np.random.Generator) -> list[int]:
    """Typical members of clusters inside each of five levels of predicted quality."""
    levels = _levels(candidates.scores, _QUALITY_LEVELS)
    chosen: list[int] = []
    for level in range(int(levels.max()) + 1):
        members = members_of(levels, level)
        here = np.flatnonzero(np.isin(members, np.asarray(taken, np.int64))).tolist()
        # Levels share what is left evenly, so that rounding loses no picture.
        wanted = (count - len(chosen)) // (int(levels.max()) + 1 - level)
        wanted = min(wanted, len(members) - len(here))
        found = typical_members(candidates.features[members], wanted, here, chance)
        chosen += members[found].tolist()
    return chosen + _random(candidates, count - len(chosen), [*taken, *chosen], chance)


def _uncertainty(
    candidates: Candidates, count: int, taken: Sequence[int], chance: np.random.Generator
) -> list[int]:
    """Pictures that make the predictions of ridge regression most certain, over all pictures."""
    return least_variance(candidates.design(chance), count, taken, candidates.penalty)


STRATEGIES: dict[str, Strategy] = {
    "random": _random,
    "clusters": _clusters,
    "maxherding": _maxherding,
    "spread": _spread,
    "both": _both,
    "uncertainty": _uncertainty,
}
"""Name -> strategy."""


def _levels(scores: np.ndarray, count: int) -> np.ndarray:
    """Number of the level of each picture, (N,): equally many pictures each, from bad to good."""
    order = np.argsort(scores, kind="stable")
    levels = np.empty(len(scores), np.int64)
    levels[order] = np.arange(len(scores)) * min(count, len(scores)) // len(scores)
    return levels
