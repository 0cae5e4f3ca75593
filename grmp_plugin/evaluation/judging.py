"""Judge metrics side by side: on the same images, against people's ratings and against each other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.evaluation.comparison import Array, Comparison, MetricAgreement, MetricScores
from grmp_plugin.evaluation.metric_scores import Scores
from grmp_plugin.statistics.agreement import agreement
from grmp_plugin.statistics.disagreement import disputes, rank_agreement
from grmp_plugin.statistics.krasula import pair_analysis
from grmp_plugin.statistics.logistic import Logistic, fitted_agreement
from grmp_plugin.statistics.significance import BestMetric, best_metric

_CURVE_POINTS = 100


@dataclass(frozen=True, eq=False)
class People:
    """What people said of the N images.

    Attributes:
        mos: (N,) mean opinion scores.
        lower_better: whether a low one is a good one.
        groups: N references, where images share them; resampled as wholes.
        errors: (N,) standard errors of the MOS; None where they are not known.
    """

    mos: Array
    lower_better: bool = False
    groups: tuple[str, ...] | None = None
    errors: Array | None = None


def judge(
    images: Sequence[str],
    scores: Scores,
    people: People | None,
    run: Mapping[str, Any],
    seed: int = 0,
) -> Comparison:
    """Compare metrics on the images that all of them have a score for.

    Args:
        images: N paths.
        scores: what the metrics gave for them.
        people: what people said of them, if anything.
        run: what made the scores, to be kept with the result.
        seed: of the resampling.
    """
    metrics = scores.metrics
    working = [number for number, metric in enumerate(metrics) if metric.error is None]
    judged = np.array([error is None for error in scores.errors], bool)
    for number in working:
        judged &= np.isfinite(metrics[number].scores)
    ranks = np.full((len(metrics), len(metrics)), math.nan)
    dispute = np.full(len(images), math.nan)
    disputed = np.zeros(0, np.int64)
    if working and judged.any():
        qualities = np.array([metrics[number].quality[judged] for number in working])
        ranks[np.ix_(working, working)] = rank_agreement(qualities)
        found = disputes(qualities)
        dispute[judged] = found.deviation
        if np.isfinite(found.deviation).all():
            disputed = np.flatnonzero(judged)[found.order]
    return Comparison(
        images=tuple(images),
        errors=scores.errors,
        metrics=metrics,
        judged=judged,
        mos=None if people is None else people.mos,
        mos_lower_better=people is not None and people.lower_better,
        agreements=() if people is None else _agreements(metrics, working, judged, people, seed),
        ranks=ranks,
        disputed=disputed,
        dispute=dispute,
        run=run,
    )


def _agreements(
    metrics: Sequence[MetricScores],
    working: Sequence[int],
    judged: NDArray[np.bool_],
    people: People,
    seed: int,
) -> tuple[MetricAgreement | None, ...]:
    agreements: list[MetricAgreement | None] = [None] * len(metrics)
    if working:
        told = _Told(people, judged)
        qualities = [metrics[number].quality[judged] for number in working]
        best = best_metric(qualities, told.mos, groups=told.groups, seed=seed)
        for place, number in enumerate(working):
            agreements[number] = _agreement(metrics[number], qualities[place], told, best, place, seed)
    return tuple(agreements)


class _Told:
    """What people said of the judged images, turned so that higher is better."""

    def __init__(self, people: People, judged: NDArray[np.bool_]) -> None:
        self.sign = -1 if people.lower_better else 1
        self.mos = self.sign * people.mos[judged]
        self.errors = None if people.errors is None else people.errors[judged]
        self.groups = (
            None
            if people.groups is None
            else tuple(group for group, kept in zip(people.groups, judged, strict=True) if kept)
        )


def _agreement(
    metric: MetricScores, quality: Array, told: _Told, best: BestMetric, place: int, seed: int
) -> MetricAgreement:
    # Both turned so that higher is better: then a negative correlation is one of the wrong way.
    plain = agreement(quality, told.mos, told.groups, seed)
    fitted = fitted_agreement(quality, told.mos, groups=told.groups, seed=seed)
    remarks = [fitted.fit.reason]
    pairs = None
    if told.errors is not None:
        pairs = pair_analysis(quality, told.mos, told.errors, seed)
        remarks.append(pairs.remark)
    return MetricAgreement(
        srcc=plain.srcc,
        krcc=plain.krcc,
        plcc=plain.plcc,
        plcc_fitted=fitted.fit.plcc,
        rmse_fitted=fitted.fit.rmse,
        srcc_interval=plain.srcc_interval,
        krcc_interval=plain.krcc_interval,
        plcc_interval=plain.plcc_interval,
        plcc_fitted_interval=fitted.plcc_interval,
        rmse_fitted_interval=fitted.rmse_interval,
        difference=float(best.differences[place]),
        difference_interval=best.intervals[place],
        p_value=float(best.p_values[place]),
        best=bool(best.as_good[place]),
        curve=_curve(metric, quality, fitted.fit.curve, told.sign),
        different_similar=math.nan if pairs is None else pairs.different_similar,
        better_worse=math.nan if pairs is None else pairs.better_worse,
        remark="; ".join(dict.fromkeys(remark for remark in remarks if remark)),
    )


def _curve(metric: MetricScores, quality: Array, curve: Logistic | None, sign: int) -> Array | None:
    """Points of the curve: scores as the metric gives them, rising, and MOS as people gave them."""
    if curve is None:
        return None
    at = np.linspace(quality.min(), quality.max(), _CURVE_POINTS)
    points = np.stack([-at if metric.lower_better else at, sign * curve(at)], axis=1)
    return points[::-1] if metric.lower_better else points
