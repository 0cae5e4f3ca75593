"""The best metric: p-values and their correction by hand, and how often equal metrics are told apart."""

import math

import numpy as np
import pytest
from scipy import stats

from grmp_plugin.errors import InputError
from grmp_plugin.statistics import bootstrap
from grmp_plugin.statistics.agreement import bootstrap_interval, paired_difference
from grmp_plugin.statistics.resampled_correlation import rank_correlations
from grmp_plugin.statistics.significance import best_metric, holm, two_sided

pytestmark = pytest.mark.filterwarnings("error")


def metrics(n, errors, generator):
    """Predictions that are MOS with errors of the given deviations, and MOS: (M, n) and (n,)."""
    mos = generator.normal(size=n)
    return mos + np.array(errors)[:, None] * generator.normal(size=(len(errors), n)), mos


def undefined(interval):
    return all(math.isnan(bound) for bound in interval)


def test_holm_by_hand():
    """Four hypotheses: 0.005 * 4, 0.01 * 3, 0.03 * 2 and 0.04 * 1, which is below the one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_a_sequence_of_tests():
    """As Holm states it: the lowest against 0.05 / P, the next against 0.05 / (P - 1), until one fails."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        p_values = generator.uniform(0, 0.1, 6) ** 2
        rejected = set()
        for k, place in enumerate(np.argsort(p_values)):
            if p_values[place] > 0.05 / (6 - k):
                break
            rejected.add(place)
        assert set(np.flatnonzero(holm(p_values) <= 0.05)) == rejected


def test_holm_of_ties_nan_and_large_values():
    assert holm([0.02, 0.02, 0.02]) == pytest.approx([0.06] * 3)
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([math.nan, 0.01, math.nan, 0.02]) == pytest.approx(
        [math.nan, 0.02, math.nan, 0.02], nan_ok=True
    )
    assert holm([]).shape == (0,)


def test_p_value_by_hand():
    """Of nine differences two are at most 0 and eight at least 0: 2 * (1 + 2) / (9 + 1)."""
    differences = np.array([-1.0, 0, 1, 2, 3, 4, 5, 6, 7])
    assert two_sided(differences) == pytest.approx(0.6)
    assert two_sided(-differences) == pytest.approx(0.6)
    assert two_sided(np.append(differences, [math.nan] * 3)) == pytest.approx(0.6)
    assert two_sided(np.zeros(9)) == 1
    assert two_sided(np.ones(99)) == pytest.approx(2 / 100)
    assert math.isnan(two_sided(np.array([1.0, math.nan, math.nan])))


def test_rank_correlations_agree_with_scipy():
    generator = np.random.default_rng(1)
    predictions = generator.integers(6, size=(3, 25)).astype(float)
    mos = generator.integers(8, size=25).astype(float)
    counts = generator.integers(3, size=(20, 25)).astype(float)
    theirs = [
        [stats.spearmanr(*(np.repeat(v, row.astype(int)) for v in (x, mos))).statistic for x in predictions]
        for row in counts
    ]
    assert rank_correlations(predictions, mos, counts) == pytest.approx(np.array(theirs), rel=1e-10)


def test_two_metrics_as_by_paired_difference():
    """With the same seed the resamples are the same, and there is one pair to correct for."""
    predictions, mos = metrics(60, [1.2, 0.9], np.random.default_rng(2))
    result = best_metric(predictions, mos, seed=5)
    assert result.best == 1
    assert result.resamples == 4000
    difference, interval = paired_difference(*predictions, mos, seed=5, resamples=4000)
    assert result.differences == pytest.approx([difference, 0])
    assert result.intervals[0] == pytest.approx(interval)
    assert result.intervals[1] == (0, 0)
    assert math.isnan(result.p_values[1])
    assert (result.p_values[0] <= 0.05) == (not result.as_good[0])


def test_p_value_agrees_with_the_interval():
    """The interval that just reaches 0 is that of the level 1 - p."""
    predictions, mos = metrics(60, [1.2, 0.9], np.random.default_rng(3))
    result = best_metric(predictions, mos)
    p = result.p_values[0]
    assert 0.01 < p < 0.9
    _, interval = paired_difference(*predictions, mos, resamples=4000, level=1 - p)
    assert interval.high == pytest.approx(0, abs=0.005)


def test_clear_and_unclear():
    predictions, mos = metrics(300, [0.5, 0.51, 3, 0.7, 8], np.random.default_rng(4))
    result = best_metric(predictions, mos)
    theirs = [stats.spearmanr(x, mos).statistic for x in predictions]
    assert result.srcc == pytest.approx(theirs)
    assert result.best in (0, 1)
    assert result.differences == pytest.approx(np.array(theirs) - max(theirs))
    assert result.as_good.tolist() == [True, True, False, False, False]
    # All ten pairs are corrected for; with no resample on the other side p is 2 / 4001 before.
    assert 2 * 2 / 4001 < result.p_values[4] <= 10 * 2 / 4001 + 1e-12
    assert result.intervals[4].high < result.intervals[3].high < 0


def test_many_metrics_can_still_be_told_apart():
    """Of 25 metrics, 300 pairs: with 4000 resamples no p-value would outlast the correction."""
    predictions, mos = metrics(40, [0.1] + [4.0] * 24, np.random.default_rng(5))
    result = best_metric(predictions, mos)
    assert result.resamples == 40 * 300
    assert result.as_good.tolist() == [True] + [False] * 24
    assert best_metric(predictions, mos, resamples=4000).as_good.all()


def test_equal_metrics_are_seldom_told_apart():
    """A family-wise error of 5%, though the best is chosen by the same data; 8% of 200 allow for chance."""
    generator = np.random.default_rng(6)
    wrong = sum(
        not best_metric(*metrics(60, [1.0] * 6, generator), seed=seed, resamples=1000).as_good.all()
        for seed in range(200)
    )
    assert wrong / 200 <= 0.08


def test_coverage_of_the_interval():
    """Of the SRCC: that of a bivariate normal distribution with correlation r is 6 / pi asin(r / 2)."""
    generator = np.random.default_rng(7)
    true = 6 / math.pi * math.asin(1 / math.sqrt(2) / 2)
    covered = 0
    for seed in range(300):
        predictions, mos = metrics(80, [1.0], generator)
        low, high = bootstrap_interval(predictions[0], mos, seed=seed, resamples=500)
        covered += low <= true <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_coverage_of_differences():
    generator = np.random.default_rng(8)
    large, mos = metrics(400_000, [0.8, 1.2], generator)
    true = stats.spearmanr(large[1], mos).statistic - stats.spearmanr(large[0], mos).statistic
    covered = 0
    for seed in range(200):
        # The better one is always found to be the best among so many images.
        result = best_metric(*metrics(200, [0.8, 1.2], generator), seed=seed, resamples=400)
        covered += result.intervals[1].low <= true <= result.intervals[1].high
    assert 0.90 <= covered / 200 <= 0.99


def test_constant_metrics():
    predictions, mos = metrics(50, [1.0, 1.0, 5.0], np.random.default_rng(9))
    with_constant = np.insert(predictions, 1, 0.1, axis=0)
    result, without = best_metric(with_constant, mos), best_metric(predictions, mos)
    assert math.isnan(result.srcc[1])
    assert math.isnan(result.differences[1])
    assert undefined(result.intervals[1])
    assert math.isnan(result.p_values[1])
    assert not result.as_good[1]
    others = [0, 2, 3]
    assert others[without.best] == result.best
    assert result.p_values[others] == pytest.approx(without.p_values, nan_ok=True)
    assert [result.intervals[k] for k in others] == list(without.intervals)


@pytest.mark.parametrize(("predictions", "mos"), [([[1] * 6] * 2, range(6)), ([range(6)] * 2, [3] * 6)])
def test_no_correlation_at_all(predictions, mos):
    result = best_metric(predictions, mos)
    assert result.best is None
    assert np.isnan(result.differences).all()
    assert np.isnan(result.p_values).all()
    assert all(undefined(interval) for interval in result.intervals)
    assert not result.as_good.any()


def test_one_metric_and_none():
    predictions, mos = metrics(20, [1.0], np.random.default_rng(10))
    result = best_metric(predictions, mos)
    assert (result.best, result.differences.tolist(), result.as_good.tolist()) == (0, [0], [True])
    assert best_metric([], mos).best is None


def test_equal_predictions():
    predictions, mos = metrics(30, [1.0], np.random.default_rng(11))
    result = best_metric([predictions[0], 2 * predictions[0] + 1], mos)
    assert result.best == 0
    assert result.differences.tolist() == [0, 0]
    assert result.p_values[1] == 1
    assert result.as_good.all()


def test_few_images_and_groups():
    for images, groups in ((4, None), (6, [0, 1] * 3)):
        mos = np.arange(images)
        result = best_metric([mos, -mos], mos, groups=groups)
        assert (result.best, result.differences.tolist()) == (0, [0, -2])
        assert undefined(result.intervals[1])
        assert math.isnan(result.p_values[1])
        assert result.as_good.all()


def test_groups():
    """Errors shared by the images of a group make a difference look sure that is not."""
    generator = np.random.default_rng(12)
    groups = np.repeat(np.arange(10), 20)
    predictions, mos = metrics(200, [0.2, 0.2], generator)
    predictions[1] += 1.5 * generator.normal(size=10)[groups]
    images, whole = best_metric(predictions, mos), best_metric(predictions, mos, groups=groups.tolist())
    widths = [result.intervals[1].high - result.intervals[1].low for result in (images, whole)]
    assert widths[1] > 1.3 * widths[0]
    assert whole.p_values[1] >= images.p_values[1]


def test_seed_alone_decides(monkeypatch):
    predictions, mos = metrics(40, [1.0, 1.0, 1.3], np.random.default_rng(13))
    first = best_metric(predictions, mos, seed=1)
    assert best_metric(predictions, mos, seed=2).intervals != first.intervals
    monkeypatch.setattr(bootstrap, "_CHUNK", 40 * 300)
    again = best_metric(predictions, mos, seed=1)
    assert again.p_values == pytest.approx(first.p_values, nan_ok=True)
    assert again.intervals == first.intervals


def test_bad_arguments():
    five = [1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="prediction of metric 1 has nan at position 2"):
        best_metric([five, [1, 2, math.nan, 4, 5]], five)
    with pytest.raises(InputError, match="MOS has inf"):
        best_metric([five, five], [1, 2, 3, 4, math.inf])
    with pytest.raises(InputError, match="4 values but the MOS 5"):
        best_metric([five[1:], five[1:]], five)
    with pytest.raises(InputError, match="prediction of metric 1 has 4 values"):
        best_metric([five, five[1:]], five)
    with pytest.raises(InputError, match="4 groups for 5 images"):
        best_metric([five, five[::-1]], five, groups=[1, 2, 3, 4])
