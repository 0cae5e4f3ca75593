"""Convert lists of numbers to float64 arrays, and check them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grmp_plugin.errors import InputError

Array = NDArray[np.float64]


def paired(predicted: ArrayLike, mos: ArrayLike, name: str = "prediction") -> tuple[Array, Array]:
    """Convert both to (N,) float64; InputError unless they are finite numbers of the same length."""
    x, y = vector(predicted, name), vector(mos, "MOS")
    if len(x) != len(y):
        raise InputError(f"the {name} has {len(x)} values but the MOS {len(y)}: one per image is needed")
    return x, y


def vector(values: ArrayLike, name: str) -> Array:
    """Convert a list of finite numbers to (N,) float64; any other raises an InputError with its `name`."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {name} must be a list of numbers: {error}") from error
    if array.ndim != 1:
        raise InputError(f"the {name} must be a list of numbers, not an array of shape {array.shape}")
    finite = np.isfinite(array)
    if not finite.all():
        where = int(np.argmin(finite))
        raise InputError(f"the {name} has {array[where]} at position {where}: every value must be finite")
    return array


def table(rows: Sequence[ArrayLike] | Array, name: str) -> Array:
    """Convert M lists of N finite numbers to (M, N) float64; others raise an InputError with their `name`."""
    vectors = [vector(row, f"{name} {number}") for number, row in enumerate(rows)]
    for number, values in enumerate(vectors):
        if len(values) != len(vectors[0]):
            raise InputError(f"the {name} {number} has {len(values)} values but {name} 0 {len(vectors[0])}")
    return np.stack(vectors) if vectors else np.empty((0, 0))


def varies(values: Array) -> bool:
    """Whether (N,) values are not all equal."""
    return len(values) > 1 and bool((values != values[0]).any())
