"""Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).

Images that share a reference are not independent: given `groups`, whole references are resampled.

A resample is represented by multiplicities (how often it contains each image) instead of a list of images:
resamples of whole groups differ in length, and ranks follow from sorting the images once.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.errors import InputError
from grmp_plugin.statistics.arrays import Array

MIN_IMAGES = 5
_MIN_GROUPS = 3
# Multiplicities in memory at a time: 16 MB, and a few temporaries of the same size.
_CHUNK = 2**21


class Interval(NamedTuple):
    """Bounds of an interval; both are nan if it is undefined."""

    low: float
    high: float


UNDEFINED = Interval(math.nan, math.nan)


def over_resamples(
    evaluate: Callable[[Array], Array],
    images: int,
    groups: Sequence[Hashable] | None,
    seed: int,
    resamples: int,
) -> Array:
    """Evaluate a function of multiplicities on bootstrap resamples, a few at a time.

    Args:
        evaluate: Function from (R, N) multiplicities to (R, ...) values.
        images: Number of images, N.
        groups: (N,) reference of each image; whole groups are resampled. By default images are independent.
        seed: Seed for the bootstrap; equal seed, images and groups give equal resamples.
        resamples: Number of resamples, at least 1.

    Returns:
        (resamples, ...) values, or (0,) for fewer than 5 images and for fewer than 3 groups.

    Raises:
        InputError: Unless there is one group per image.
    """
    units = _units(groups, images)
    count = len(set(units.tolist()))
    if images < MIN_IMAGES or (groups is not None and count < _MIN_GROUPS):
        return np.empty(0)
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // images)
    parts = [
        evaluate(_multiplicities(generator, min(rows, resamples - start), count)[:, units])
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def _multiplicities(generator: np.random.Generator, resamples: int, count: int) -> Array:
    """How often each resample contains each of `count` units: (R, U), each row with the sum U."""
    drawn = generator.integers(count, size=(resamples, count))
    drawn += count * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(drawn.shape).astype(np.float64)


def percentiles(values: Array, level: float = 0.95) -> Interval:
    """Percentile interval of (R,) bootstrap values; undefined if there are none or more than half are nan."""
    defined = values[~np.isnan(values)]
    if len(defined) == 0 or 2 * len(defined) < len(values):
        return UNDEFINED
    low, high = np.quantile(defined, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(low), float(high))


def _units(groups: Sequence[Hashable] | None, images: int) -> NDArray[np.int64]:
    """Index of the unit (image or group) that each image belongs to: (N,)."""
    if groups is None:
        return np.arange(images)
    if len(groups) != images:
        raise InputError(f"there are {len(groups)} groups for {images} images: one per image is needed")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
