"""Least squares for the logistic curve, for many resamples or many starting points at a time.

The curve is linear in b1 and b2, so these two follow from any centre b3 and width b4, and only the latter
are searched (variable projection: Golub and Pereyra, 1973, doi:10.1137/0710036; Jacobian by Kaufman, 1975,
doi:10.1007/BF01932995), with the Levenberg-Marquardt method on all rows at once. b1 - b2 may have either
sign, so rising and falling curves are found alike. A line, a step and an exponential are limits of the
curve; bounds keep the search from running towards them forever.

Own code, because `scipy.optimize.curve_fit` needs 0.3 to 0.7 s for the 500 refits to 576 images that take 0.1
to 0.4 s here, and does not converge for up to a third of the data sets that a curve fits well
(tests/benchmarks/logistic_fit.py).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.statistics.arrays import Array

MAX_STEPS = 200
# Bounds of log(width): beyond them the curve is a step or a line to more digits than matter.
_LOWEST, _HIGHEST = -12.0, 7.0
# Widths by which the centre may lie beyond the scores: there, the curve is an exponential up to exp(-12).
_BEYOND = 12.0
# The search ends where a step promises to lower the squared error by less than this fraction of it, or of
# the squared error of a constant.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-15
# Longest step, in units of the width and of its logarithm.
_STEP = 2.0
# Initial damping, and its factors after a good and after a bad step.
_DAMPING, _LESS, _MORE = 1e-3, 0.2, 8.0
# Below the minimum a matrix may be singular. Beyond the maximum no step, however short, has lowered the
# error: the search is as close as rounding allows.
_LEAST_DAMPING, _MOST_DAMPING = 1e-6, 1e12


class Fits(NamedTuple):
    """Curves with given centre and width, with b1 and b2 fitted by least squares: (R,) each.

    Derivatives are with respect to centre / width and to the logarithm of the width.

    Attributes:
        slope: b1 - b2.
        error: Sum of squared residuals.
        gradient: (R, 2) half of the error's gradient.
        curvature: (R, 3) Gauss-Newton matrix: both diagonal elements, then the other one.
    """

    slope: Array
    error: Array
    gradient: Array
    curvature: Array


def search(x: Array, y: Array, counts: Array, starts: Array) -> tuple[Array, Fits, NDArray[np.bool_]]:
    """Find the centre and width with the least squared error, for R resamples at a time.

    Args:
        x: (N,) scores.
        y: (N,) MOS.
        counts: (R, N) multiplicities.
        starts: (R, 2) centre and logarithm of the width.

    Returns:
        (R, 2) parameters, their fits, and (R,) whether the search ended within `MAX_STEPS`.
    """
    found = starts.copy()
    fits = _fit(x, y, counts, found)
    enough = _ABSOLUTE * scatter(y, counts)
    damping = np.full(len(counts), _DAMPING)
    ended = np.zeros(len(counts), dtype=np.bool_)
    for _ in range(MAX_STEPS):
        step = _damped_step(fits, damping, _at_bounds(x, found, fits.gradient))
        promised = -np.einsum("rk,rk->r", step, fits.gradient)
        ended |= (promised <= _RELATIVE * fits.error + enough) | (damping > _MOST_DAMPING)
        going = np.flatnonzero(~ended)
        if len(going) == 0:
            break
        # Shortened as a whole: clipping each part could turn the step uphill.
        step /= np.maximum(np.abs(step).max(axis=1, keepdims=True) / _STEP, 1)
        trial = found[going]
        trial[:, 0] += np.exp(trial[:, 1]) * step[going, 0]
        trial[:, 1] = np.clip(trial[:, 1] + step[going, 1], _LOWEST, _HIGHEST)
        trial[:, 0] = np.clip(trial[:, 0], *_centre_bounds(x, trial))
        new = _fit(x, y, counts[going], trial)
        better = new.error < fits.error[going]
        damping[going] = np.maximum(damping[going] * np.where(better, _LESS, _MORE), _LEAST_DAMPING)
        improved = going[better]
        found[improved] = trial[better]
        for old, value in zip(fits, new, strict=True):
            old[improved] = value[better]
    return found, fits, ended


def scatter(y: Array, counts: Array) -> Array:
    """Sum of squared deviations from the mean of each resample: (R,)."""
    squares: Array = np.maximum(counts @ y**2 - (counts @ y) ** 2 / counts.sum(axis=1), 0)
    return squares


def _centre_bounds(x: Array, parameters: Array) -> tuple[Array, Array]:
    """Lowest and highest centre allowed for the widths of (R, 2) parameters: (R,) and (R,)."""
    beyond = _BEYOND * np.exp(parameters[:, 1])
    return x.min() - beyond, x.max() + beyond


def _at_bounds(x: Array, parameters: Array, gradient: Array) -> NDArray[np.bool_]:
    """Whether each parameter is at a bound and descent would cross it: (R, 2)."""
    low, high = _centre_bounds(x, parameters)
    bounds = ((low, high), (np.full_like(low, _LOWEST), np.full_like(low, _HIGHEST)))
    columns = [
        np.where(gradient[:, k] > 0, parameters[:, k] <= least, parameters[:, k] >= most)
        for k, (least, most) in enumerate(bounds)
    ]
    return np.stack(columns, axis=1)


def _damped_step(fits: Fits, damping: Array, fixed: NDArray[np.bool_]) -> Array:
    """Solve (curvature + damping * its trace) step = -gradient; fixed parameters stay: (R, 2).

    Damping by the trace, not by the diagonal, keeps parameters that hardly matter from taking long steps.
    """
    diagonal = np.maximum(fits.curvature[:, :2], 0)
    first, second = (diagonal + (damping * diagonal.sum(axis=1))[:, None]).T
    # Rounding can push the off-diagonal element of a nearly singular matrix beyond the Cauchy-Schwarz bound.
    most = np.sqrt(diagonal.prod(axis=1))
    mixed = np.where(fixed.any(axis=1), 0, np.clip(fits.curvature[:, 2], -most, most))
    determinant = first * second - mixed**2
    along, across = np.where(fixed, 0, fits.gradient).T
    numerators = (mixed * across - second * along, mixed * along - first * across)
    return np.stack([_ratio(numerator, determinant) for numerator in numerators], axis=1)


def _fit(x: Array, y: Array, counts: Array, parameters: Array) -> Fits:
    """Fits at (R, 2) centres and logarithms of widths."""
    total = counts.sum(axis=1)
    distance = (x - parameters[:, :1]) * np.exp(-parameters[:, 1:])
    # The logistic function minus 1/2: unlike exp, tanh does not overflow.
    curve = 0.5 * np.tanh(0.5 * distance)
    by_centre = 0.25 - curve**2
    by_width = by_centre * distance
    curve -= (np.einsum("rn,rn->r", counts, curve) / total)[:, None]
    weighted = counts * curve
    square = np.einsum("rn,rn->r", weighted, curve)
    slope = _ratio(weighted @ y, square)
    error = np.maximum(scatter(y, counts) - slope**2 * square, 0)

    residual = y - slope[:, None] * curve
    residual -= (np.einsum("rn,rn->r", counts, residual) / total)[:, None]
    residual *= counts
    derivatives = (by_centre, by_width)
    gradient = np.stack([slope * np.einsum("rn,rn->r", residual, d) for d in derivatives], axis=1)
    # Minus what b1 and b2 compensate: the components along the constant and along the curve.
    constant = [np.einsum("rn,rn->r", counts, d) for d in derivatives]
    parallel = [np.einsum("rn,rn->r", weighted, d) for d in derivatives]
    elements = []
    for i, j in ((0, 0), (1, 1), (0, 1)):
        product = np.einsum("rn,rn->r", counts * derivatives[i], derivatives[j])
        product -= constant[i] * constant[j] / total + _ratio(parallel[i] * parallel[j], square)
        elements.append(slope**2 * product)
    return Fits(slope, error, gradient, np.stack(elements, axis=1))


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Elementwise ratio; 0 where the denominator is 0 or, by rounding, negative."""
    ratio = np.zeros_like(numerator)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio
