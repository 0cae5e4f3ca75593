"""Which way of adapting serves a set of shots best, by cross-validation inside the shots.

Ridge regression replaces the start where its predictions of shots left out are closer than those of the
start, fitted to the ratings by a straight line, and closer than the mean of the other shots: squared errors
say more about few shots than their order does.

Gradient steps are judged by order. Pairs of shots are counted that were left out together: the share in the
right order minus the share in the wrong order, Kendall's correlation within the part left out. Predictions of
different fits are never compared: their offsets run against the ratings left out, which would punish whatever
learns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LEAST_TO_CHOOSE = 8
"""Shots below which cross-validation inside them decides nothing: the start is kept."""

LEAST_FOR_GRADIENTS = 20
"""Shots below which too few pairs are left out together to judge gradient steps: they are not tried."""

_PARTS = 5


@dataclass(frozen=True)
class Tried:
    """A way of adapting, and how it did on shots that it did not learn from.

    Attributes:
        method: `start` (the model as it was), `ridge`, `prompts` or `prompts+ridge`.
        learning_rate: Of the gradient steps; None without them.
        epochs: Epochs after which training stopped; None without gradient steps.
        krcc: Kendall's correlation within the parts left out, mean over repetitions; NaN if undefined. Of
            gradient steps, which have one repetition: that of the better of `start` and `ridge`, plus what
            they gain over it in the same parts.
        gain: The same minus that of the start.
        error: Standard error of the difference from the better of `start` and `ridge`; None for these.
        repetitions: Number of cross-validations.
        explained: Share of the variance of the ratings that the predictions of shots left out explain, those
            of the start by a straight line; negative if the mean of the other shots predicts them better.
            None with gradient steps.
    """

    method: str
    learning_rate: float | None
    epochs: int | None
    krcc: float
    gain: float
    error: float | None
    repetitions: int
    explained: float | None = None


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


def line_left_out(divided: Sequence[np.ndarray], scores: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Predictions (S,) of shots by regression of the others' ratings (S,) on their scores (S,)."""

    def predict(others: np.ndarray, part: np.ndarray) -> np.ndarray:
        x, y = scores[others] - scores[others].mean(), ratings[others]
        square = float((x**2).sum())
        slope = float((x * (y - y.mean())).sum()) / square if square > 0 else 0.0
        predicted: np.ndarray = y.mean() + slope * (scores[part] - scores[others].mean())
        return predicted

    return left_out(divided, len(scores), predict)


def explained(
    divisions: Sequence[Sequence[np.ndarray]], predictions: Sequence[np.ndarray], ratings: np.ndarray
) -> float:
    """Share of the variance of ratings that predictions of shots left out explain.

    Args:
        divisions: The parts of each cross-validation.
        predictions: (S,) of each cross-validation.
        ratings: (S,).

    Returns:
        At most 1; below 0 if the mean of the shots that were not left out predicts them better; NaN if all
        ratings are equal.
    """
    flat = np.zeros(len(ratings))
    by_mean = [line_left_out(divided, flat, ratings) for divided in divisions]
    error = sum(float(((found - ratings) ** 2).sum()) for found in predictions)
    usual = sum(float(((found - ratings) ** 2).sum()) for found in by_mean)
    return 1 - error / usual if usual > 0 else float("nan")


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

    Gradient steps, of which several kinds were tried once each, replace the start and ridge regression only
    where they beat the better of the two clearly: by two standard errors.
    """
    base = best_without_gradients(tried)
    better = [each for each in tried if each.error is not None and each.gain > base.gain + 2 * each.error]
    return max(better, key=_gain, default=base)


def best_without_gradients(tried: Sequence[Tried]) -> Tried:
    """The start, or ridge regression where it predicts shots left out better."""
    start, ridge = (next(each for each in tried if each.method == name) for name in ("start", "ridge"))
    # A comparison with NaN is false: nothing is known, and the start is kept.
    better = _explained(ridge) > 0 and not _explained(ridge) <= _explained(start)
    return ridge if better else start


def _explained(tried: Tried) -> float:
    return float("nan") if tried.explained is None else tried.explained


def _gain(each: Tried) -> float:
    return -np.inf if np.isnan(each.gain) else each.gain
