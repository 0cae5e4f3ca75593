"""Which way of adapting serves a set of shots best, by cross-validation inside the shots.

Pairs of shots are counted that were left out together: the share in the right order minus the share in the
wrong order, Kendall's correlation within the part left out. Predictions of different fits are never compared:
their offsets run against the ratings left out, which would punish whatever learns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LEAST_TO_CHOOSE = 8
"""Shots below which cross-validation inside them decides nothing: the start is kept."""

_PARTS = 5


@dataclass(frozen=True)
class Tried:
    """A way of adapting, and how it did on shots that it did not learn from.

    Attributes:
        method: `start` (the model as it was), `ridge`, `prompts` or `prompts+ridge`.
        learning_rate: Of the gradient steps; None without them.
        epochs: Epochs after which training stopped; None without gradient steps.
        krcc: Kendall's correlation within the parts left out, mean over repetitions; NaN if undefined. With
            one repetition, less what its parts favour the others by.
        gain: The same minus that of the start.
        error: Standard error of the difference from the better of `start` and `ridge`; None for these.
        repetitions: Number of cross-validations.
    """

    method: str
    learning_rate: float | None
    epochs: int | None
    krcc: float
    gain: float
    error: float | None
    repetitions: int


def parts(count: int, groups: Sequence[object] | None, seed: int) -> list[np.ndarray]:
    """Divide shots into parts, each to be left out once.

    Args:
        count: Number of shots.
        groups: Their originals; versions of one original stay together, if there are several originals.
        seed: Random seed.

    Returns:
        Numbers of the shots of each part: five parts, or fewer of at least two shots; at least two parts.
    """
    names = [str(group) for group in groups] if groups is not None else []
    if len(set(names)) < 2:
        names = [str(number) for number in range(count)]
    known = sorted(set(names))
    wanted = max(2, min(_PARTS, count // 2, len(known)))
    order = np.random.default_rng([seed, _PARTS]).permutation(len(known))
    part_of = {known[group]: place % wanted for place, group in enumerate(order)}
    numbers = np.array([part_of[name] for name in names])
    return [np.flatnonzero(numbers == part) for part in range(wanted)]


def left_out(
    divided: Sequence[np.ndarray], count: int, predict: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Predictions (S,) of shots by fits to the other parts.

    Args:
        divided: See `parts`.
        count: Number of shots S.
        predict: Fits to the shots of its first argument, and predicts those of its second.
    """
    found = np.empty(count)
    for part in divided:
        found[part] = predict(np.setdiff1d(np.arange(count), part), part)
    return found


def within_parts(divided: Sequence[np.ndarray], predicted: np.ndarray, ratings: np.ndarray) -> float:
    """Kendall's correlation (tau-a over pairs of different ratings) within parts; NaN without such pairs."""
    first, second = _pairs(divided)
    rated = np.sign(ratings[first] - ratings[second])
    total = np.abs(rated).sum()
    agree = (rated * np.sign(predicted[first] - predicted[second])).sum()
    return float(agree / total) if total else float("nan")


def standard_error(
    divided: Sequence[np.ndarray], predicted: np.ndarray, other: np.ndarray, ratings: np.ndarray
) -> float:
    """Standard error of the difference of `within_parts` between two predictions: jackknife over shots."""
    count = len(ratings)
    differences = []
    for left in range(count):
        rest = [part[part != left] for part in divided]
        differences.append(within_parts(rest, predicted, ratings) - within_parts(rest, other, ratings))
    return float(np.sqrt((count - 1) * np.var(differences)))


def _pairs(divided: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    found = [part[np.array(np.triu_indices(len(part), 1))] for part in divided]
    first, second = np.concatenate(found, axis=1)
    return first, second


def best(tried: Sequence[Tried]) -> Tried:
    """The way to adapt with all shots.

    The start is kept unless ridge regression gains; gradient steps, of which several kinds were tried once
    each, replace the better of the two only where they beat it clearly: by two standard errors.
    """
    base = best_without_gradients(tried)
    better = [each for each in tried if each.error is not None and each.gain > base.gain + 2 * each.error]
    return max(better, key=_gain, default=base)


def best_without_gradients(tried: Sequence[Tried]) -> Tried:
    """The better of the start and ridge regression; the start if they are equal."""
    return max((each for each in tried if each.error is None), key=_gain)


def _gain(each: Tried) -> float:
    return -np.inf if np.isnan(each.gain) else each.gain
