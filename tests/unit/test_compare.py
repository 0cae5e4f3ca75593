"""Comparing metrics on the same images."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from grmp_plugin.evaluation.compare_scores import SubjectiveScores, compare_scores
from grmp_plugin.evaluation.comparison import MetricScores
from grmp_plugin.evaluation.metric_scores import ScoreTable


def metric(name, scores, *, lower_better=False, errors=None, error=None):
    scores = np.asarray(scores, float)
    none = (None,) * len(scores)
    return MetricScores(name, False, lower_better, scores, errors or none, 0.1, error)


def compared(metrics, mos=None, *, errors=None, **ratings):
    images = [f"{number}.png" for number in range(len(metrics[0].scores))]
    subjective = None if mos is None else SubjectiveScores(np.asarray(mos, float), **ratings)
    scores = ScoreTable(tuple(metrics), errors or (None,) * len(images))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return compare_scores(images, scores, subjective)


@pytest.fixture
def mos():
    return np.random.default_rng(0).uniform(1, 5, 60)


@pytest.fixture
def noisy(mos):
    return mos + np.random.default_rng(1).normal(0, 0.5, len(mos))


def test_correlations_are_scipys_on_the_images_that_all_metrics_scored(mos, noisy):
    other = noisy.copy()
    other[3] = math.nan
    errors = (*(None,) * 7, "not an image", *(None,) * 52)
    comparison = compared([metric("a", noisy), metric("b", -other, lower_better=True)], mos, errors=errors)
    kept = np.ones(60, bool)
    kept[[3, 7]] = False
    np.testing.assert_array_equal(comparison.judged, kept)
    a, b = comparison.agreements
    expected = stats.spearmanr(noisy[kept], mos[kept]).statistic
    assert a.srcc == pytest.approx(expected, abs=1e-12)
    assert b.srcc == pytest.approx(expected, abs=1e-12)
    assert a.krcc == pytest.approx(stats.kendalltau(noisy[kept], mos[kept]).statistic, abs=1e-12)
    assert b.plcc == pytest.approx(stats.pearsonr(noisy[kept], mos[kept]).statistic, abs=1e-12)
    assert a.srcc_interval.low < expected < a.srcc_interval.high
    assert a.best
    assert b.best
    assert comparison.ranks[0, 1] == pytest.approx(1)


def test_a_metric_of_the_wrong_direction_is_negative_and_not_the_best(mos, noisy):
    right, wrong = compared([metric("right", noisy), metric("wrong", -mos)], mos).agreements
    assert wrong.srcc == -1
    assert wrong.krcc == -1
    assert wrong.plcc == pytest.approx(-1)
    assert wrong.plcc_fitted < -0.99
    assert wrong.difference == pytest.approx(-1 - right.srcc)
    assert wrong.p_value < 0.01
    assert not wrong.best
    assert right.best


def test_low_mos_can_be_better(mos, noisy):
    high = compared([metric("a", noisy)], mos).agreements[0]
    low = compared([metric("a", noisy)], 10 - mos, lower_better=True).agreements[0]
    assert low.srcc == pytest.approx(high.srcc)
    assert low.rmse_fitted == pytest.approx(high.rmse_fitted)
    np.testing.assert_allclose(low.curve[:, 1], 10 - high.curve[:, 1], atol=1e-6)


@pytest.mark.parametrize("lower_better", [False, True])
def test_curve_is_in_the_metrics_own_scores_from_low_to_high(mos, noisy, lower_better):
    scores = -noisy if lower_better else noisy
    curve = compared([metric("a", scores, lower_better=lower_better)], mos).agreements[0].curve
    assert curve[0, 0] == pytest.approx(scores.min())
    assert curve[-1, 0] == pytest.approx(scores.max())
    rising = curve[-1, 1] > curve[0, 1]
    assert rising is not lower_better


def test_failed_metrics_do_not_affect_others(mos, noisy):
    nothing = metric("failed", np.full(60, math.nan), error="needs CUDA")
    alone = compared([metric("a", noisy)], mos).agreements[0]
    beside, failed = compared([metric("a", noisy), nothing], mos).agreements
    assert failed is None
    assert beside.srcc == alone.srcc
    assert beside.srcc_interval == alone.srcc_interval


def test_constant_scores_are_undefined_and_remarked(mos, noisy):
    constant = compared([metric("a", noisy), metric("flat", np.ones(60))], mos).agreements[1]
    assert math.isnan(constant.srcc)
    assert math.isnan(constant.plcc_fitted)
    assert constant.remark
    assert not constant.best


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_images_have_no_intervals(count):
    mos = np.arange(count)
    result = compared([metric("a", mos), metric("b", mos[::-1])], mos).agreements[0]
    assert math.isnan(result.srcc_interval.low)
    assert result.remark


def test_images_that_share_a_reference_widen_the_interval(mos, noisy):
    # Ten copies of six images carry no more information than six images.
    copies = np.repeat(mos[:6], 10), np.repeat(noisy[[1, 0, 2, 3, 5, 4]], 10)
    groups = tuple(str(number // 10) for number in range(60))
    apart = compared([metric("a", copies[1])], copies[0]).agreements[0].srcc_interval
    together = compared([metric("a", copies[1])], copies[0], groups=groups).agreements[0].srcc_interval
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_standard_errors_add_krasulas_analysis(mos, noisy):
    without = compared([metric("a", noisy)], mos).agreements[0]
    assert math.isnan(without.better_worse)
    result = compared([metric("a", noisy)], mos, standard_errors=np.full(60, 0.2)).agreements[0]
    assert result.better_worse > 0.9
    assert 0.5 < result.different_similar < 1


def test_without_ratings_metrics_are_compared_with_each_other(mos, noisy):
    swapped = noisy.copy()
    low, high = noisy.argmin(), noisy.argmax()
    swapped[[low, high]] = noisy[[high, low]]
    comparison = compared([metric("a", noisy), metric("b", -swapped, lower_better=True)])
    assert comparison.agreements == ()
    assert comparison.ranks[0, 1] == pytest.approx(stats.spearmanr(noisy, swapped).statistic)
    assert set(comparison.disputed[:2].tolist()) == {low, high}


def test_no_image_at_all():
    comparison = compared([metric("a", [math.nan] * 3)], errors=("gone",) * 3)
    assert not comparison.judged.any()
    assert len(comparison.disputed) == 0
    assert np.isnan(comparison.ranks).all()


def test_percentile_ranks_of_the_judged_images():
    scores = [metric("a", [3.0, math.nan, 1.0, 2.0]), metric("b", [1.0, 5.0, 2.0, 3.0], lower_better=True)]
    comparison = compared(scores)
    np.testing.assert_allclose(comparison.percentile_ranks_by(0), [250 / 3, math.nan, 50 / 3, 50])
    np.testing.assert_allclose(comparison.percentile_ranks_by(1), [250 / 3, math.nan, 50, 50 / 3])
