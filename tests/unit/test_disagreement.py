"""Disagreement of metrics: scipy as oracle, small cases by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from grmp_plugin.errors import InputError
from grmp_plugin.statistics.disagreement import disputes, rank_agreement

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("levels", [3, 10**6])
def test_scipy_agrees(levels):
    generator = np.random.default_rng(levels)
    qualities = generator.integers(levels, size=(5, 40)) + generator.integers(levels, size=40)
    theirs = stats.spearmanr(qualities, axis=1).statistic
    assert rank_agreement(qualities) == pytest.approx(theirs, rel=1e-12)
    percentiles = [
        [stats.percentileofscore(row, value, kind="mean") for value in row] for row in qualities.tolist()
    ]
    assert disputes(qualities).deviation == pytest.approx(np.std(percentiles, axis=0), rel=1e-9)


def test_by_hand():
    """Percentile ranks (rank - 1/2) / 4 are 12.5, 37.5, 62.5, 87.5; with the last two tied, 75 for both."""
    result = disputes([[1, 2, 3, 4], [1, 2, 9, 9], [4, 3, 2, 1]])
    expected = [
        math.sqrt(2) / 3 * 75,
        math.sqrt(2) / 3 * 25,
        np.std([62.5, 75, 37.5]),
        np.std([87.5, 75, 12.5]),
    ]
    assert result.deviation == pytest.approx(expected)
    assert result.order.tolist() == [0, 3, 2, 1]
    agreement = rank_agreement([[1, 2, 3, 4], [1, 2, 9, 9], [4, 3, 2, 1]])
    tied = 4.5 / math.sqrt(5 * 4.5)
    assert agreement == pytest.approx(np.array([[1, tied, -1], [tied, 1, -tied], [-1, -tied, 1]]))


def test_only_ranks_count():
    qualities = np.random.default_rng(0).normal(size=(4, 30))
    bent = [qualities[0], np.exp(qualities[1]), qualities[2] ** 3, 1e9 * qualities[3] - 7]
    assert rank_agreement(bent) == pytest.approx(rank_agreement(qualities))
    assert disputes(bent).order.tolist() == disputes(qualities).order.tolist()


def test_equally_disputed_images_keep_their_order():
    """Images k and k + 10 have the same ranks from other metrics, whose sums differ by rounding alone."""
    generator = np.random.default_rng(1)
    half = np.array([generator.permutation(10) for _ in range(7)])
    order, deviation = disputes(np.concatenate((half, half[generator.permutation(7)]), axis=1))
    assert (deviation[:10] != deviation[10:]).any()
    for before, after in itertools.pairwise(order):
        assert deviation[before] > deviation[after] + 1e-10 or before < after
    assert disputes([[1, 2, 3], [3, 2, 1]]).order.tolist() == [0, 2, 1]
    assert disputes([[1, 2, 3], [1, 2, 3]]).order.tolist() == [0, 1, 2]


def test_constant_metric():
    """It has no correlation, and says nothing of any image."""
    three = [[1, 2, 4, 3], [0.1] * 4, [1, 3, 2, 4]]
    agreement = rank_agreement(three)
    assert np.isnan(agreement[1]).all()
    assert np.isnan(agreement[:, 1]).all()
    assert agreement[0, 2] == agreement[2, 0] == pytest.approx(0.4)
    assert agreement[0, 0] == 1
    assert disputes(three).deviation == pytest.approx(disputes([three[0], three[2]]).deviation)


@pytest.mark.parametrize("qualities", [[[1, 2, 3]], [[1, 2, 3], [5, 5, 5]], [[5, 5, 5]] * 2])
def test_fewer_than_two_metrics_that_rank(qualities):
    result = disputes(qualities)
    assert np.isnan(result.deviation).all()
    assert result.order.tolist() == [0, 1, 2]


def test_next_to_nothing():
    assert rank_agreement([]).shape == (0, 0)
    assert np.isnan(rank_agreement([[], []])).tolist() == [[True, True], [True, True]]
    assert np.isnan(rank_agreement([[3], [4]])).all()
    assert len(disputes([]).order) == 0
    assert len(disputes([[], []]).deviation) == 0
    assert math.isnan(disputes([[3], [4]]).deviation[0])


@pytest.mark.parametrize("function", [rank_agreement, disputes])
def test_bad_qualities(function):
    with pytest.raises(InputError, match="quality by metric 1 has nan at position 0"):
        function([[1, 2], [math.nan, 2]])
    with pytest.raises(InputError, match="quality by metric 1 has 3 values but quality by metric 0 2"):
        function([[1, 2], [1, 2, 3]])
    with pytest.raises(InputError, match=r"quality by metric 0 .* shape \(\)"):
        function([1, 2])
