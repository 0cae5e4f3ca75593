"""The logistic fit against `scipy.optimize.curve_fit`: time, convergence and PLCC.

    python tests/benchmarks/logistic_fit.py [--images 576] [--data-sets 24]

Draws scores (a third normal, a third skewed, a third with ties and falling) and MOS on a logistic curve with
noise. Fits all images (ours from 20 starting points, `curve_fit` from pyiqa's one and from 12), and 500
bootstrap resamples from the curve of all images. Times are of the processor. Prints Markdown.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.special import expit

from grmp_plugin.statistics import logistic

Array = NDArray[np.float64]
NOISE = (8.0, 20.0, 45.0, 120.0)  # MOS range of the curve: 10 to 80
RESAMPLES = 500


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--images", type=int, default=576)
    parser.add_argument("--data-sets", type=int, default=24, help="per level of noise")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # curve_fit warns of covariances that nobody asked for
    _all_images(arguments.images, arguments.data_sets)
    _resamples(arguments.images, min(6, arguments.data_sets))


def _all_images(images: int, data_sets: int) -> None:
    print("| noise | ours, ms | curve_fit 1 start | no fit | PLCC lower by | 12 starts | no fit | lower by |")
    print("|---|---|---|---|---|---|---|---|")
    for noise in NOISE:
        generator, cells = np.random.default_rng(0), [f"{noise:g}"]
        data = [_data(images, noise, number, generator) for number in range(data_sets)]
        ours, spent = _timed(lambda d: abs(logistic._best_fit(d)[0].plcc), data)
        cells.append(f"{spent:.1f}")
        for starts in (_pyiqas_start, _twelve_starts):
            theirs, spent = _timed(lambda d, s=starts: _plcc(d, np.ones(images), s(d)), data)
            lower = np.nanmax(np.subtract(ours, theirs))
            cells += [f"{spent:.1f}", f"{np.isnan(theirs).sum()} of {data_sets}", f"{lower:.0e}"]
        print(f"| {' | '.join(cells)} |")


def _resamples(images: int, data_sets: int) -> None:
    print(f"\n| noise | ours, ms per {RESAMPLES} | curve_fit | no fit | largest difference of PLCC |")
    print("|---|---|---|---|---|")
    for noise in NOISE:
        generator = np.random.default_rng(1)
        times, failed, difference = [0.0, 0.0], 0, 0.0
        for number in range(data_sets):
            data = _data(images, noise, number, generator)
            fit, start = logistic._best_fit(data)
            if fit.curve is None:
                continue
            curve = fit.curve
            first = (
                (curve.b1 - data.y_zero) / data.y_unit,
                (curve.b2 - data.y_zero) / data.y_unit,
                (curve.b3 - data.x_zero) / data.x_unit,
                curve.b4 / data.x_unit,
            )
            counts = generator.multinomial(images, [1 / images] * images, size=RESAMPLES).astype(float)
            rows = max(1, logistic._BLOCK // images)
            blocks = [counts[at : at + rows] for at in range(0, RESAMPLES, rows)]
            refits, spent = _timed(lambda b, d=data, s=start: np.abs(logistic._refits(d, s, b)[:, 0]), blocks)
            times[0] += spent * len(blocks)
            theirs, spent = _timed(lambda c, d=data, s=first: _plcc(d, c, [s]), list(counts))
            times[1] += spent * RESAMPLES
            failed += int(np.isnan(theirs).sum())
            difference = max(difference, float(np.nanmax(np.abs(np.concatenate(refits) - theirs))))
        ours, curve_fits = (total / data_sets for total in times)
        failures = f"{failed} of {data_sets * RESAMPLES}"
        print(f"| {noise:g} | {ours:.0f} | {curve_fits:.0f} | {failures} | {difference:.0e} |")


def _data(images: int, noise: float, number: int, generator: np.random.Generator) -> logistic._Scaled:
    x = generator.normal(size=images)
    y = 70 * expit((x - 0.3) / 0.5) + 10 + noise * generator.normal(size=images)
    return logistic._scaled((x, np.exp(1.5 * x), -np.round(3 * x))[number % 3], y)


def _timed(function: Callable, arguments: Sequence) -> tuple[list, float]:
    """Results, and milliseconds per call."""
    started = time.process_time()
    results = [function(argument) for argument in arguments]
    return results, 1000 * (time.process_time() - started) / len(arguments)


def _plcc(data: logistic._Scaled, counts: Array, starts: Sequence[Sequence[float]]) -> float:
    """Of the best fit by `curve_fit`; nan where it does not converge from any start."""
    kept = counts > 0
    x, y, weights = data.x[kept], data.y[kept], counts[kept]
    errors = [math.nan]
    for start in starts:
        try:
            *_, info, _, _ = curve_fit(
                _curve, x, y, start, 1 / np.sqrt(weights), jac=_jacobian, maxfev=400, full_output=True
            )
        except RuntimeError:
            continue
        errors.append(float(info["fvec"] @ info["fvec"]))
    mean = weights @ y / weights.sum()
    unexplained = np.fmin.reduce(errors) / (weights @ (y - mean) ** 2)
    return float(np.sqrt(np.clip(1 - unexplained, 0, 1)))


def _curve(x: Array, b1: float, b2: float, b3: float, b4: float) -> Array:
    return (b1 - b2) * expit((x - b3) / abs(b4)) + b2


def _jacobian(x: Array, b1: float, b2: float, b3: float, b4: float) -> Array:
    value = expit((x - b3) / abs(b4))
    by_b3 = -value * (1 - value) * (b1 - b2) / abs(b4)
    return np.stack([value, 1 - value, by_b3, by_b3 * (x - b3) / b4], axis=1)


def _pyiqas_start(data: logistic._Scaled) -> list[tuple[float, ...]]:
    return [(data.y.max(), data.y.min(), data.x.mean(), data.x.std() / 4)]


def _twelve_starts(data: logistic._Scaled) -> list[tuple[float, ...]]:
    rising = np.corrcoef(data.x, data.y)[0, 1] > 0
    ends = (data.y.max(), data.y.min())[:: 1 if rising else -1]
    return [(*ends, b3, b4) for b3 in np.quantile(data.x, (0.1, 0.5, 0.9)) for b4 in (0.1, 0.3, 1.0, 3.0)]


if __name__ == "__main__":
    main()
