"""What strategies look at: features, predicted quality, and what ridge regression reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from grmp_plugin.labelling.pool import Pool
from grmp_plugin.training.ridge import fit_ridge, ridge_components

# With fewer ratings, nothing is fitted to them.
_LEAST_RATED = 8

# On 578 photographs, 384 components keep 98% of the kernel of ridge regression, 256 keep 95%. They are found
# from a sample, if there are more pictures than that.
_COMPONENTS, _SAMPLE = 384, 1000
_PENALTY = 1.0  # where there are no ratings; leave-one-out often chooses 0.3 to 2 for 50


@dataclass(frozen=True, eq=False)
class Candidates:
    """N pictures to choose from.

    Attributes:
        features: (N, D) image features, L2-normalised.
        scores: (N,) predicted quality; higher is better.
        design: Makes (N, R), what ridge regression reads in units of equal penalty, from random numbers.
        penalty: Penalty of ridge regression.
    """

    features: np.ndarray
    scores: np.ndarray
    design: Callable[[np.random.Generator], np.ndarray]
    penalty: float


def candidates(pool: Pool, ratings: Mapping[int, float]) -> Candidates:
    """What strategies look at, given the ratings so far.

    From eight different ratings on, quality is predicted, and the penalty chosen, by ridge regression on
    them, as `grmp adapt` would; before, by the model as it is.

    Args:
        pool: N pictures.
        ratings: Index -> rating so far, on any scale where higher is better.
    """

    def design(chance: np.random.Generator) -> np.ndarray:
        count = len(pool.paths)
        sample = np.sort(chance.choice(count, min(count, _SAMPLE), replace=False))
        return ridge_components(pool.network, pool.inputs, pool.start, sample, _COMPONENTS)

    scores, penalty = pool.start, _PENALTY
    given = np.array(list(ratings.values()))
    if len(given) >= _LEAST_RATED and np.ptp(given) > 0:
        rated = pool.subset(list(ratings))
        head = fit_ridge(pool.network, rated.inputs, rated.start, (given - given.min()) / np.ptp(given))
        scores, penalty = head.predict(pool.inputs, pool.start), head.penalty
    features = pool.inputs.features.numpy()
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return Candidates(features / np.maximum(lengths, 1e-12), scores, design, penalty)
