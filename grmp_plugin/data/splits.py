"""Which rated images are the shots and which the test set: drawn by a seed, no reference on both sides."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from grmp_plugin.data.ratings import Ratings
from grmp_plugin.errors import ConfigError, InputError

SAMPLINGS = ("random", "spread")

LEAST_SHOTS = 2
LEAST_TEST = 2  # a correlation needs two

# Beside the user's seed, so that nothing else that is drawn by this seed goes along with the split.
_STREAM = 0x59117


@dataclass(frozen=True, eq=False)
class Split:
    """The images to adapt to, and those to test on.

    Attributes:
        shots: (S,) sorted int indices into the ratings.
        test: (T,) sorted int indices, none of them a shot, none of a shot's reference.
    """

    shots: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class _Sides:
    """Where shots may be drawn from, and what is kept for the test; None: all that is not drawn."""

    pool: np.ndarray
    test: np.ndarray | None
    pool_words: str  # what the pool is and how large, for the message that it is too small
    remedy: str  # what makes the pool larger, for the same message
    test_remedy: str  # what makes the test set larger


def draw_split(
    ratings: Ratings,
    shots: int,
    seed: int,
    *,
    sampling: str = "random",
    test_share: float | None = None,
    column: str | None = None,
) -> Split:
    """Draw the shots and the test set.

    Independent images: without `test_share` every image that is no shot is tested. Images with references:
    whole references go to one side, half of them to the test unless `test_share` says otherwise, and
    images of the shots' side that are not drawn are left out. With `column`, its `train` rows give the
    shots, except those whose reference is among its `test` rows, which are the test set; other rows are
    left out.

    Args:
        ratings: N rated images.
        shots: how many images to adapt to, at least 2.
        seed: not negative; the same arguments give the same split.
        sampling: "random" draws uniformly, and fewer shots are a part of more; "spread" sorts by MOS,
            cuts into as many equal parts as there are shots, and draws one image of each.
        test_share: share of the images, or of the references, that is the test set, in (0, 1).
        column: name of a split column.

    Raises:
        InputError: an option has no valid value, or the images do not suffice.
        ConfigError: both `test_share` and `column` are given.
    """
    _check_options(shots, seed, sampling, test_share, column)
    # The test set is drawn first: it does not depend on the number of shots or their sampling.
    chance = np.random.default_rng([seed, _STREAM])
    if column is not None:
        sides = _sides_of_column(ratings, column)
    elif ratings.references is not None:
        sides = _sides_of_references(ratings.references, test_share, chance)
    else:
        sides = _sides_of_images(len(ratings.images), test_share, chance)
    _check_sizes(ratings.source, sides, shots)

    drawn = np.sort(_draw(sides.pool, ratings.mos, shots, sampling, chance))
    mos = ratings.mos[drawn]
    if mos.min() == mos.max():
        raise InputError(
            f"{ratings.source}: all {shots} shots drawn have MOS {mos[0]}, from which nothing can be "
            "learned. Draw others with another --seed, or with --sampling spread."
        )
    test = np.setdiff1d(sides.pool, drawn) if sides.test is None else np.sort(sides.test)
    return Split(shots=drawn, test=test)


def _check_options(
    shots: int, seed: int, sampling: str, test_share: float | None, column: str | None
) -> None:
    if shots < LEAST_SHOTS:
        raise InputError(f"--shots is at least {LEAST_SHOTS}, not {shots}.")
    if seed < 0:
        raise InputError(f"--seed is 0 or larger, not {seed}.")
    if sampling not in SAMPLINGS:
        raise InputError(f"--sampling is {' or '.join(SAMPLINGS)}, not '{sampling}'.")
    if test_share is not None and not 0 < test_share < 1:
        raise InputError(f"test_share lies between 0 and 1, not {test_share}.")
    if test_share is not None and column is not None:
        raise ConfigError(
            f"test_share and --split-column contradict: the column '{column}' says what the test set is."
        )


def _check_sizes(source: str, sides: _Sides, shots: int) -> None:
    spare = LEAST_TEST if sides.test is None else 0
    available = len(sides.pool) - spare
    if available < shots:
        beside = f" beside {spare} images for the test" if spare else ""
        advice = sides.remedy.capitalize()
        if available >= LEAST_SHOTS:
            advice = f"Use --shots {available} or fewer, or {sides.remedy}"
        raise InputError(f"{source}: {sides.pool_words}, too few for {shots} shots{beside}. {advice}.")
    if sides.test is not None and len(sides.test) < LEAST_TEST:
        raise InputError(
            f"{source}: too few images for the test: {len(sides.test)}, at least {LEAST_TEST} are needed. "
            f"{sides.test_remedy.capitalize()}."
        )


def _sides_of_images(count: int, test_share: float | None, chance: np.random.Generator) -> _Sides:
    if test_share is None:
        words = f"there are {count} rated images"
        return _Sides(np.arange(count), None, words, "rate more images", "")
    order = chance.permutation(count)
    tested = _rounded(test_share * count)
    words = f"there are {count - tested} rated images beside the {tested} of the test set"
    return _Sides(order[tested:], order[:tested], words, "make test_share smaller", "make test_share larger")


def _sides_of_references(
    references: tuple[str, ...], test_share: float | None, chance: np.random.Generator
) -> _Sides:
    names = np.array(references)
    # Sorted: a seed then means the same references however the file is ordered.
    order = chance.permutation(np.unique(names))
    if len(order) < 2:
        raise InputError(
            f"all images are of one reference, '{order[0]}', and no reference may be on both sides. "
            "Rate images of another reference."
        )
    tested = len(order) // 2 if test_share is None else _rounded(test_share * len(order))
    tested = min(max(tested, 1), len(order) - 1)
    in_test = np.isin(names, order[:tested])
    pool = np.flatnonzero(~in_test)
    words = (
        f"the shots' side has {len(pool)} images, of {len(order) - tested} of the {len(order)} references "
        "(no reference may be on both sides)"
    )
    remedy = "take another --seed, or make test_share smaller in the --config file"
    return _Sides(
        pool,
        np.flatnonzero(in_test),
        words,
        remedy,
        "take another --seed, or make test_share larger in the --config file",
    )


def _sides_of_column(ratings: Ratings, column: str) -> _Sides:
    if column not in ratings.splits:
        present = ", ".join(f"'{name}'" for name in ratings.splits)
        hint = "A split column has 'split' in its name" + (
            f", as has {present}." if present else "; there is none."
        )
        raise InputError(f"{ratings.source}: no split column '{column}'. {hint}")
    values = np.array(ratings.splits[column])
    pool, test = np.flatnonzero(values == "train"), np.flatnonzero(values == "test")
    if not len(pool) or not len(test):
        counts = ", ".join(f"{count} x '{value}'" for value, count in Counter(ratings.splits[column]).items())
        raise InputError(
            f"{ratings.source}: the split column '{column}' needs rows 'train' for the shots and 'test' "
            f"for the test set; it has {counts}."
        )
    words = f"the split column '{column}' has {len(pool)} train rows"
    if ratings.references is not None:
        names = np.array(ratings.references)
        leaking = np.isin(names[pool], names[test])
        pool = pool[~leaking]
        if leaking.any():
            words += (
                f", of which {leaking.sum()} are of a reference that is also tested: {len(pool)} are left"
            )
    return _Sides(pool, test, words, "take another --split-column", "take another --split-column")


def _rounded(count: float) -> int:
    """Halves go up; Python's round would take them to the even number."""
    return math.floor(count + 0.5)


def _draw(
    pool: np.ndarray, mos: np.ndarray, shots: int, sampling: str, chance: np.random.Generator
) -> np.ndarray:
    if sampling == "random":
        return chance.permutation(pool)[:shots]
    # Equal ratings in random order: else the order of the file would choose among them.
    ordered = pool[np.lexsort((chance.random(len(pool)), mos[pool]))]
    return np.array([chance.choice(part) for part in np.array_split(ordered, shots)])
