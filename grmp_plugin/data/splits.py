"""Draw the shots and the test set from rated images, without a reference on both sides."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grmp_plugin.data.ratings import Ratings
from grmp_plugin.errors import ConfigError, InputError
from grmp_plugin.plain_data import shown

SAMPLINGS = ("random", "spread")
SPLITS_BY = ("reference", "image")

LEAST_SHOTS = 2
LEAST_TEST = 2  # a correlation needs two

# As for references. Shots spread over the ratings of all images would depend on ratings of the test.
_SHARE_BESIDE_SPREAD = 0.5

# Added to the user's seed, so that the split is independent of all else that is drawn with it.
_STREAM = 0x59117


@dataclass(frozen=True, eq=False)
class Split:
    """The images to adapt to, and those to test on.

    Attributes:
        shots: (S,) sorted int indices into the ratings.
        test: (T,) sorted int indices; no shot, and no image that shares a reference with a shot. Empty if all
            images are shots.
    """

    shots: np.ndarray
    test: np.ndarray

    def without_copies(self, digests: Sequence[str | None]) -> "Split":
        """Without the test images that have the pixels of a shot.

        Args:
            digests: Digest of the decoded pixels of each rated image; None if unknown.

        Raises:
            InputError: When too few test images are left.
        """
        learned = {digests[i] for i in self.shots} - {None}
        test = np.array([i for i in self.test if digests[i] not in learned], int)
        if len(test) < min(LEAST_TEST, len(self.test)):
            raise InputError(
                f"{len(self.test) - len(test)} of {len(self.test)} test images have the same pixels as a "
                "shot, and too few others are left; rate other images"
            )
        return Split(self.shots, test)


@dataclass(frozen=True)
class _Sides:
    """The images from which shots are drawn, and the test set; None: all images that are not drawn."""

    pool: np.ndarray
    test: np.ndarray | None
    pool_words: str  # what the pool is and how large, for the message that it is too small
    remedy: str = ""  # what makes the pool larger, for the same message
    test_remedy: str = ""  # what makes the test set larger
    see: tuple[str, ...] = ()  # arguments that change both


def draw_split(
    ratings: Ratings,
    shots: int,
    seed: int,
    *,
    sampling: str = "random",
    test_share: float | None = None,
    column: str | None = None,
    split_by: str = "reference",
    all_shots: bool = True,
) -> Split:
    """Draw the shots and the test set.

    Independent images: without `test_share`, every image that is no shot is tested if the shots are drawn at
    random, and nothing if all images are shots; `spread` looks at ratings, so half of the images are set
    aside for the test before. Images with references: each reference is on one side only, half of them on
    the test side unless `test_share` says otherwise; images on the side of the shots that are not drawn are
    not used. With `column`, shots are drawn from its `train` rows, except those that share a reference with
    its `test` rows, which are the test set; other rows are not used.

    Args:
        ratings: N rated images.
        shots: Number of images to adapt to, at least 2.
        seed: Random seed, 0 or larger.
        sampling: "random" draws uniformly, and fewer shots are a subset of more; "spread" sorts by MOS,
            divides into as many equal parts as there are shots, and draws one image from each; it never looks
            at ratings of the test set.
        test_share: Share of the images, or of the references, in the test set, in (0, 1).
        column: Name of a split column.
        split_by: "reference" keeps versions of one reference on one side; "image" takes all images as
            independent, as the authors' released code does, which makes the test easier.
        all_shots: Whether all images may be shots, so that none is left to test on.

    Raises:
        InputError: When there are too few images, or the seed is negative.
        ConfigError: When a setting has no valid value (see `check_sampling`), or `column` is given together
            with `test_share` or with splitting by image.
    """
    check_sampling(shots, sampling, test_share, split_by)
    if seed < 0:
        raise InputError(f"must be 0 or larger, not {seed}", argument="seed")
    _check_column(column, test_share, split_by)
    # The test set is drawn first, so that it does not depend on the number of shots or their sampling.
    chance = np.random.default_rng([seed, _STREAM])
    if column is not None:
        sides = _sides_of_column(ratings, column)
    elif ratings.references is not None and split_by == "reference":
        sides = _sides_of_references(ratings.references, test_share, chance)
    else:
        if test_share is None and sampling == "spread":
            test_share = _SHARE_BESIDE_SPREAD
        sides = _sides_of_images(len(ratings.images), test_share, chance)
    _check_sizes(ratings.source, sides, shots, all_shots)

    drawn = np.sort(_draw(sides.pool, ratings.mos, shots, sampling, chance))
    mos = ratings.mos[drawn]
    if mos.min() == mos.max():
        raise InputError(
            f"{ratings.source}: all {shots} shots drawn have MOS {mos[0]}, so nothing can be learned",
            see=("seed", "sampling"),
        )
    test = np.setdiff1d(sides.pool, drawn) if sides.test is None else np.sort(sides.test)
    return Split(shots=drawn, test=test)


def check_sampling(shots: int, sampling: str, test_share: float | None, split_by: str = "reference") -> None:
    """Check the arguments of `draw_split` that are settings, too.

    Raises:
        ConfigError: When one has no valid value.
    """
    if shots < LEAST_SHOTS:
        raise ConfigError(f"must be at least {LEAST_SHOTS}, not {shown(shots)}", argument="shots")
    for name, value, known in (("sampling", sampling, SAMPLINGS), ("split_by", split_by, SPLITS_BY)):
        if value not in known:
            raise ConfigError(f"must be {' or '.join(known)}, not {shown(value)}", argument=name)
    if test_share is not None and not 0 < test_share < 1:  # nor NaN
        raise ConfigError(f"must be between 0 and 1, not {test_share}", argument="test_share")


def _check_column(column: str | None, test_share: float | None, split_by: str) -> None:
    if test_share is not None and column is not None:
        raise ConfigError(
            f"contradicts test_share {test_share}: the column '{column}' determines the test set",
            argument="split_column",
        )
    if split_by == "image" and column is not None:
        raise ConfigError(
            f"contradicts split_by image: the column '{column}' determines the sides", argument="split_column"
        )


def _check_sizes(source: str, sides: _Sides, shots: int, all_shots: bool) -> None:
    spare = LEAST_TEST if sides.test is None else 0
    available = len(sides.pool) - spare
    if available < shots and not (all_shots and spare and shots == len(sides.pool)):
        beside = f" and {spare} images for the test" if spare else ""
        # The number first: it is what works without rating more.
        everything = f", or all {len(sides.pool)} without a test" if spare and all_shots else ""
        fewer = [f"use {available} shots or fewer{everything}"] if available >= LEAST_SHOTS else []
        advice = ", or ".join([*fewer, *filter(None, [sides.remedy])])
        raise InputError(
            f"{source}: {sides.pool_words}, too few for {shots} shots{beside}. {_sentence(advice)}".rstrip(),
            see=("shots", *sides.see) if fewer else sides.see,
        )
    if sides.test is not None and len(sides.test) < LEAST_TEST:
        raise InputError(
            f"{source}: too few images for the test: {len(sides.test)}, at least {LEAST_TEST} are needed. "
            f"{_sentence(sides.test_remedy)}".rstrip(),
            see=sides.see,
        )


def _sides_of_images(count: int, test_share: float | None, chance: np.random.Generator) -> _Sides:
    if test_share is None:
        words = f"there are {count} rated images"
        return _Sides(np.arange(count), None, words, "rate more images")
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
            "Rate images of another reference"
        )
    tested = len(order) // 2 if test_share is None else _rounded(test_share * len(order))
    tested = min(max(tested, 1), len(order) - 1)
    in_test = np.isin(names, order[:tested])
    pool = np.flatnonzero(~in_test)
    words = (
        f"the side of the shots has {len(pool)} images, of {len(order) - tested} of the {len(order)} "
        "references (no reference may be on both sides)"
    )
    return _Sides(
        pool,
        np.flatnonzero(in_test),
        words,
        "make test_share smaller",
        "make test_share larger",
        see=("seed",),
    )


def rows_to_test(ratings: Ratings, column: str) -> np.ndarray:
    """The rows that a split column says are for testing.

    Args:
        ratings: N rated images.
        column: Name of a split column.

    Returns:
        (T,) sorted indices.

    Raises:
        InputError: When there is no such column, or it has no `test` rows.
    """
    test = np.flatnonzero(_values_of(ratings, column) == "test")
    if not len(test):
        raise InputError(
            f"{ratings.source}: the split column '{column}' has no 'test' rows; it has "
            f"{_counts(ratings, column)}",
            see=("split_column",),
        )
    return test


def _values_of(ratings: Ratings, column: str) -> np.ndarray:
    if column not in ratings.splits:
        present = ", ".join(f"'{name}'" for name in ratings.splits)
        hint = f"Split columns: {present}" if present else "No column has 'split' in its name"
        raise InputError(f"{ratings.source}: no split column '{column}'. {hint}", argument="split_column")
    return np.array(ratings.splits[column])


def _counts(ratings: Ratings, column: str) -> str:
    return ", ".join(f"{count} x '{value}'" for value, count in Counter(ratings.splits[column]).items())


def _sides_of_column(ratings: Ratings, column: str) -> _Sides:
    values = _values_of(ratings, column)
    pool, test = np.flatnonzero(values == "train"), np.flatnonzero(values == "test")
    if not len(pool) or not len(test):
        raise InputError(
            f"{ratings.source}: the split column '{column}' needs rows 'train' for the shots and 'test' "
            f"for the test set; it has {_counts(ratings, column)}",
            see=("split_column",),
        )
    words = f"the split column '{column}' has {len(pool)} train rows"
    if ratings.references is not None:
        names = np.array(ratings.references)
        leaking = np.isin(names[pool], names[test])
        pool = pool[~leaking]
        if leaking.any():
            words += f", of which {leaking.sum()} share a reference with a test row: {len(pool)} are left"
    return _Sides(pool, test, words, see=("split_column",))


def _rounded(count: float) -> int:
    """Round half up; Python's round goes to the even number."""
    return math.floor(count + 0.5)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _draw(
    pool: np.ndarray, mos: np.ndarray, shots: int, sampling: str, chance: np.random.Generator
) -> np.ndarray:
    if sampling == "random":
        return chance.permutation(pool)[:shots]
    # Equal ratings are shuffled; otherwise the order of the file would decide among them.
    ordered = pool[np.lexsort((chance.random(len(pool)), mos[pool]))]
    return np.array([chance.choice(part) for part in np.array_split(ordered, shots)])
