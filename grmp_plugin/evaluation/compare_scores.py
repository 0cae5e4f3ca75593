"""Compute a `Comparison` from scores: agreement with MOS, and of the metrics with each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grmp_plugin.evaluation.comparison import Array, Comparison, MetricAgreement, MetricScores
from grmp_plugin.evaluation.metric_scores import ScoreTable
from grmp_plugin.statistics.agreement import agreement
from grmp_plugin.statistics.disagreement import disputes, rank_agreement
from grmp_plugin.statistics.krasula import pair_analysis
from grmp_plugin.statistics.logistic import Logistic, fitted_agreement
from grmp_plugin.statistics.significance import BestMetric, best_metric

_CURVE_POINTS = 100


@dataclass(frozen=True, eq=False)
class SubjectiveScores:
    """Ratings of N images by people.

    Attributes:
        mos: (N,) mean opinion scores.
        lower_better: Whether a low MOS means good quality.
        groups: Reference of each of the N images; images of one reference are resampled together. None if
            images are independent.
        standard_errors: (N,) standard errors of the MOS; None if unknown.
    """

    mos: Array
    lower_better: bool = False
    groups: tuple[str, ...] | None = None
    standard_errors: Array | None = None


def compare_scores(
    images: Sequence[str],
    scores: ScoreTable,
    subjective: SubjectiveScores | None,
    seed: int = 0,
    *,
    learned_by: Sequence[tuple[str, ...]] = (),
    include_learned: bool = False,
) -> Comparison:
    """Compare metrics on the images that all of them have scored.

    Args:
        images: N paths.
        scores: Scores of the N images by each metric.
        subjective: Ratings of the N images, if there are any.
        seed: Seed for the bootstrap.
        learned_by: N tuples of the metrics that learned from each image; empty if none did.
        include_learned: Whether the metrics are judged on such images, too.
    """
    metrics = scores.metrics
    working = [number for number, metric in enumerate(metrics) if metric.error is None]
    judged = np.array([error is None for error in scores.errors], bool)
    for number in working:
        judged &= np.isfinite(metrics[number].scores)
    # A metric that failed is not judged, so what it learned from does not matter.
    names = {metrics[number].metric for number in working}
    learners = tuple(tuple(name for name in found if name in names) for found in learned_by)
    if learners and not include_learned:
        judged &= np.array([not found for found in learners], bool)
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
        mos=None if subjective is None else subjective.mos,
        mos_lower_better=subjective is not None and subjective.lower_better,
        agreements=() if subjective is None else _agreements(metrics, working, judged, subjective, seed),
        ranks=ranks,
        disputed=disputed,
        dispute=dispute,
        learned_by=learners,
        include_learned=include_learned,
    )


def _agreements(
    metrics: Sequence[MetricScores],
    working: Sequence[int],
    judged: NDArray[np.bool_],
    subjective: SubjectiveScores,
    seed: int,
) -> tuple[MetricAgreement | None, ...]:
    agreements: list[MetricAgreement | None] = [None] * len(metrics)
    if working:
        target = _Target(subjective, judged)
        qualities = [metrics[number].quality[judged] for number in working]
        best = best_metric(qualities, target.mos, groups=target.groups, seed=seed)
        for place, number in enumerate(working):
            agreements[number] = _agreement(metrics[number], qualities[place], target, best, place, seed)
    return tuple(agreements)


class _Target:
    """Ratings of the judged images, with the sign that makes higher better."""

    def __init__(self, subjective: SubjectiveScores, judged: NDArray[np.bool_]) -> None:
        self.sign = -1 if subjective.lower_better else 1
        self.mos = self.sign * subjective.mos[judged]
        errors, groups = subjective.standard_errors, subjective.groups
        self.standard_errors = None if errors is None else errors[judged]
        self.groups = (
            None
            if groups is None
            else tuple(group for group, kept in zip(groups, judged, strict=True) if kept)
        )


def _agreement(
    metric: MetricScores, quality: Array, target: _Target, best: BestMetric, place: int, seed: int
) -> MetricAgreement:
    # Higher is better in both, so a negative correlation means the wrong direction.
    plain = agreement(quality, target.mos, target.groups, seed)
    fitted = fitted_agreement(quality, target.mos, groups=target.groups, seed=seed)
    remarks = [fitted.fit.reason]
    pairs = None
    if target.standard_errors is not None:
        pairs = pair_analysis(quality, target.mos, target.standard_errors, seed)
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
        curve=_curve(metric, quality, fitted.fit.curve, target.sign),
        different_similar=math.nan if pairs is None else pairs.different_similar,
        better_worse=math.nan if pairs is None else pairs.better_worse,
        remark="; ".join(dict.fromkeys(remark for remark in remarks if remark)),
    )


def _curve(metric: MetricScores, quality: Array, curve: Logistic | None, sign: int) -> Array | None:
    """Points of the curve in the units and directions of the metric and of the MOS, scores ascending."""
    if curve is None:
        return None
    at = np.linspace(quality.min(), quality.max(), _CURVE_POINTS)
    points = np.stack([-at if metric.lower_better else at, sign * curve(at)], axis=1)
    return points[::-1] if metric.lower_better else points
