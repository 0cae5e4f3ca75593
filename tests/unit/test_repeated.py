"""Methods over splits: paired tests against the best."""

import math

import numpy as np
import pytest
from scipy import stats

from grmp_plugin.statistics.repeated import standings
from grmp_plugin.statistics.significance import holm


def test_p_values_are_wilcoxons_corrected_by_holm():
    rng = np.random.default_rng(0)
    table = rng.normal(0.7, 0.02, (3, 10)) + np.array([[0], [0.02], [-0.05]])
    found = standings(table.tolist())
    best = int(np.argmax(np.median(table, 1)))
    others = [number for number in range(3) if number != best]
    expected = holm([stats.wilcoxon(table[best], table[number]).pvalue for number in others])
    assert [found[number].p_value for number in others] == pytest.approx(expected)
    assert math.isnan(found[best].p_value)
    assert found[best].best
    assert [found[number].best for number in others] == [p > 0.05 for p in expected]


def test_splits_that_one_method_lacks_are_left_out():
    first = [0.9, 0.8, 0.7, math.nan, 0.9]
    second = [0.8, 0.7, math.nan, 0.9, 0.8]
    found = standings([first, second])
    assert found[1].splits == 3
    assert found[1].p_value == stats.wilcoxon([0.1, 0.1, 0.1]).pvalue


def test_nothing_to_test():
    single = standings([[0.5], [0.4], [math.nan]])
    assert all(math.isnan(one.p_value) for one in single)
    assert [one.best for one in single] == [True, False, False]
    assert not single[1].decidable
    assert standings([[0.5, 0.6], [0.5, 0.6]])[1].p_value == 1
    assert not any(one.best for one in standings([[math.nan], [math.nan]]))


@pytest.mark.parametrize(("splits", "methods", "decidable"), [(5, 2, False), (6, 2, True), (6, 3, False)])
def test_too_few_splits_decide_nothing(splits, methods, decidable):
    rng = np.random.default_rng(0)
    table = [(0.9 - number / 10 + rng.normal(0, 0.001, splits)).tolist() for number in range(methods)]
    found = standings(table)
    assert [one.decidable for one in found[1:]] == [decidable] * (methods - 1)
    assert [one.best for one in found] == [True] + [False] * (methods - 1)
    assert all((one.p_value <= 0.05) is decidable for one in found[1:])


def test_equal_methods_are_seldom_told_apart():
    rng = np.random.default_rng(1)
    different = 0
    for _ in range(200):
        table = rng.normal(0.7, 0.03, (5, 10))
        different += any(not one.best for one in standings(table.tolist()))
    # The best is chosen on the splits that it is tested on: somewhat more than 5%.
    assert different < 0.25 * 200
