"""PLCC and RMSE after the logistic curve that maps scores to mean opinion scores (MOS).

The curve has four parameters (VQEG, Final report on the validation of objective models of video quality
assessment, phase II, 2003):

    MOS = (b1 - b2) / (1 + exp(-(score - b3) / |b4|)) + b2
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from grmp_plugin.statistics.arrays import Array, paired, varies
from grmp_plugin.statistics.bootstrap import MIN_IMAGES, UNDEFINED, Interval, over_resamples, percentiles
from grmp_plugin.statistics.logistic_search import MAX_STEPS, Fits, scatter, search
from grmp_plugin.statistics.resampled_correlation import both_vary

_RESAMPLES = 500
# Starting points: quantiles of the scores for b3, and multiples of their spread for |b4|.
_CENTRES = (0.1, 0.3, 0.5, 0.7, 0.9)
_WIDTHS = (0.1, 0.3, 1.0, 3.0)
# Values of curves in memory at a time: few enough for the cache of a processor core.
_BLOCK = 2**15


@dataclass(frozen=True)
class Logistic:
    """A logistic curve.

    Attributes:
        b1: Limit of the MOS for high scores.
        b2: Limit of the MOS for low scores.
        b3: Score in the middle of the transition.
        b4: Width of the transition, in units of the score; positive.
    """

    b1: float
    b2: float
    b3: float
    b4: float

    def __call__(self, scores: ArrayLike) -> Array:
        """Expected MOS of scores, in their shape."""
        distance = (np.asarray(scores, dtype=np.float64) - self.b3) / self.b4
        return np.asarray((self.b1 - self.b2) * expit(distance) + self.b2)


@dataclass(frozen=True)
class Fit:
    """A curve and how well it fits; without a curve the numbers are nan.

    Attributes:
        curve: Least-squares fit, or None.
        plcc: Pearson's correlation of MOS with the curve at the scores, negative where the curve falls.
        rmse: Root mean squared error of the curve, in units of MOS.
        reason: Why there is no curve; empty if there is one.
    """

    curve: Logistic | None
    plcc: float
    rmse: float
    reason: str


@dataclass(frozen=True)
class FittedAgreement:
    """A fit, and the 95% intervals of its PLCC and RMSE; they are undefined without a curve."""

    fit: Fit
    plcc_interval: Interval
    rmse_interval: Interval


def fit_logistic(scores: ArrayLike, mos: ArrayLike) -> Fit:
    """Fit the curve by least squares: the best result from 20 starting points.

    Args:
        scores: (N,) scores of a metric, in any unit; higher or lower may be better.
        mos: (N,) mean opinion scores, in any unit.

    Returns:
        No curve for fewer than 5 images, for scores or MOS that are all equal, and where the search does
        not end within 200 steps.

    Raises:
        InputError: Unless both are finite numbers of the same length.
    """
    x, y = paired(scores, mos)
    reason = _why_no_curve(x, y)
    if reason:
        return Fit(None, math.nan, math.nan, reason)
    return _best_fit(_scaled(x, y))[0]


def fitted_agreement(
    scores: ArrayLike,
    mos: ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> FittedAgreement:
    """Fit the curve, and bootstrap PLCC and RMSE after the fit.

    The curve is fitted to every resample again, starting from the curve of all images. Resamples whose
    scores or MOS are all equal, or whose search does not end, are left out. 500 resamples of a thousand
    images take a fraction of a second; the time grows linearly with images and resamples.

    Four parameters fit the given images a little better than others, and resamples repeat that: the
    interval of RMSE is biased low, and covers the true value in about 88% of samples of a hundred images.
    The interval of PLCC covers it in about 92%, except where scores say hardly anything about MOS: every
    curve explains a little, so it cannot tell a PLCC of 0 from a small one.

    Args:
        scores: (N,) scores of a metric, as for `fit_logistic`.
        mos: (N,) mean opinion scores.
        groups: (N,) reference of each image; whole groups are resampled. By default images are independent.
        seed: Seed for the bootstrap.
        resamples: Number of resamples, at least 1.

    Returns:
        The intervals are undefined without a curve, for fewer than 3 groups, and if more than half of the
        resamples were left out.

    Raises:
        InputError: As for `fit_logistic`, and unless there is one group per image.
    """
    x, y = paired(scores, mos)
    reason = _why_no_curve(x, y)
    if reason:
        return FittedAgreement(Fit(None, math.nan, math.nan, reason), UNDEFINED, UNDEFINED)
    data = _scaled(x, y)
    fit, start = _best_fit(data)
    if fit.curve is None:
        return FittedAgreement(fit, UNDEFINED, UNDEFINED)
    rows = max(1, _BLOCK // len(x))

    def evaluate(counts: Array) -> Array:
        blocks = [counts[at : at + rows] for at in range(0, len(counts), rows)]
        return np.concatenate([_refits(data, start, block) for block in blocks])

    values = over_resamples(evaluate, len(x), groups, seed, resamples).reshape(-1, 2)
    return FittedAgreement(fit, percentiles(values[:, 0]), percentiles(values[:, 1]))


class _Scaled(NamedTuple):
    """Scores and MOS in units of their spread: x, y are (N,); in the caller's units zero + unit * value."""

    x: Array
    y: Array
    x_zero: float
    x_unit: float
    y_zero: float
    y_unit: float


def _why_no_curve(x: Array, y: Array) -> str:
    if len(x) < MIN_IMAGES:
        return f"fewer than {MIN_IMAGES} images"
    if not varies(x):
        return "all scores are equal"
    return "" if varies(y) else "all MOS are equal"


def _scaled(x: Array, y: Array) -> _Scaled:
    """Scale scores by their median and 10-90% range, which a few outliers do not change."""
    low, middle, high = np.quantile(x, (0.1, 0.5, 0.9))
    unit = (high - low if high > low else np.ptp(x)) / 2
    y_unit = np.ptp(y) / 2
    # Shift first: where MOS differ little compared with their size, a mean would lose digits.
    shifted = (y - y[0]) / y_unit
    mean = shifted.mean()
    y_zero = y[0] + y_unit * mean
    return _Scaled(
        (x - middle) / unit, shifted - mean, float(middle), float(unit), float(y_zero), float(y_unit)
    )


def _best_fit(data: _Scaled) -> tuple[Fit, Array]:
    """Fit all images once; also returns (2,) centre and logarithm of the width, in units of `data`."""
    centres, widths = np.meshgrid(np.quantile(data.x, _CENTRES), np.log(_WIDTHS))
    starts = np.stack((centres.ravel(), widths.ravel()), axis=1)
    every = np.ones((len(starts), len(data.x)))
    found, fits, ended = search(data.x, data.y, every, starts)
    if not ended.any():
        return Fit(None, math.nan, math.nan, f"the fit did not converge in {MAX_STEPS} steps"), found[0]
    best = int(np.argmin(np.where(ended, fits.error, math.inf)))
    centre, width = float(found[best, 0]), math.exp(found[best, 1])
    slope = float(fits.slope[best])
    low = -slope * float(expit((data.x - centre) / width).mean())
    curve = Logistic(
        b1=data.y_zero + data.y_unit * (low + slope),
        b2=data.y_zero + data.y_unit * low,
        b3=data.x_zero + data.x_unit * centre,
        b4=data.x_unit * width,
    )
    plcc, rmse = _plcc_and_rmse(data, every, fits)[best].tolist()
    return Fit(curve, plcc, rmse, ""), found[best]


def _refits(data: _Scaled, start: Array, counts: Array) -> Array:
    """PLCC and RMSE after the fits to (R, N) resamples: (R, 2), nan where there is no fit."""
    _, fits, ended = search(data.x, data.y, counts, np.tile(start, (len(counts), 1)))
    defined = ended & both_vary(data.x, data.y, counts)
    return np.where(defined[:, None], _plcc_and_rmse(data, counts, fits), math.nan)


def _plcc_and_rmse(data: _Scaled, counts: Array, fits: Fits) -> Array:
    """PLCC and RMSE of the fits to (R, N) resamples: (R, 2)."""
    unexplained = fits.error / np.maximum(scatter(data.y, counts), np.finfo(np.float64).tiny)
    plcc = np.copysign(np.sqrt(np.clip(1 - unexplained, 0, 1)), fits.slope)
    return np.stack((plcc, data.y_unit * np.sqrt(fits.error / counts.sum(axis=1))), axis=1)
