"""Cross-validation inside the shots, and prediction intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from grmp_plugin.training.choice import Tried, best, left_out, parts, standard_error, within_parts
from grmp_plugin.training.interval import LEVEL, prediction_interval


@pytest.mark.parametrize(("count", "wanted"), [(50, 5), (10, 5), (9, 4), (8, 4), (4, 2), (2, 2)])
def test_every_shot_is_left_out_once(count, wanted):
    divided = parts(count, None, 0)
    assert len(divided) == wanted
    assert sorted(np.concatenate(divided).tolist()) == list(range(count))
    assert max(map(len, divided)) - min(map(len, divided)) <= 1


def test_parts_depend_on_the_seed_alone():
    same, other = parts(20, None, 3), parts(20, None, 4)
    assert [part.tolist() for part in parts(20, None, 3)] == [part.tolist() for part in same]
    assert [part.tolist() for part in other] != [part.tolist() for part in same]


def test_versions_of_an_original_stay_together():
    groups = [f"original {number // 4}" for number in range(28)]
    divided = parts(28, groups, 1)
    assert len(divided) == 5
    for part in divided:
        assert all(sum(groups[i] == groups[j] for j in part) == 4 for i in part)


def test_one_original_alone_is_divided_by_image():
    assert [len(part) for part in parts(10, ["one"] * 10, 0)] == [2] * 5


def test_what_is_left_out_is_not_learned_from():
    divided = parts(11, None, 0)
    seen = []

    def predict(others, part):
        seen.append((set(others.tolist()), set(part.tolist())))
        return part * 10.0

    assert left_out(divided, 11, predict).tolist() == [10.0 * i for i in range(11)]
    assert all(not others & part and len(others | part) == 11 for others, part in seen)


def test_agreement_within_a_part_is_kendalls():
    rng = np.random.default_rng(0)
    ratings, predicted = rng.normal(size=12), rng.normal(size=12)
    whole = [np.arange(12)]
    assert within_parts(whole, predicted, ratings) == pytest.approx(
        stats.kendalltau(predicted, ratings).statistic
    )


def test_offsets_between_parts_do_not_count():
    divided = [np.arange(5), np.arange(5, 10)]
    ratings = np.arange(10.0)
    assert within_parts(divided, np.concatenate([np.arange(5) + 100.0, np.arange(5)]), ratings) == 1
    assert within_parts(divided, -ratings, ratings) == -1


def test_equal_ratings_make_no_pair():
    assert math.isnan(within_parts([np.arange(4)], np.arange(4.0), np.ones(4)))
    assert within_parts([np.arange(3)], np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0, 2.0])) == 1


def test_standard_error_is_the_spread_over_draws():
    rng = np.random.default_rng(0)
    divided = [np.arange(start, start + 10) for start in (0, 10, 20)]
    differences, errors = [], []
    for _ in range(150):
        ratings = rng.normal(size=30)
        good, bad = (ratings + noise * rng.normal(size=30) for noise in (0.5, 2.0))
        differences.append(within_parts(divided, good, ratings) - within_parts(divided, bad, ratings))
        errors.append(standard_error(divided, good, bad, ratings))
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.15)
    assert standard_error(divided, good, good, ratings) == 0


def tried(method, gain):
    return Tried(method, None, None, 0.5, gain, 0.1 if method == "prompts" else None, 1)


def test_the_start_is_kept_unless_something_is_better():
    start = tried("start", 0.0)
    assert best([start, tried("ridge", 0.0), tried("prompts", -0.1)]) is start
    assert best([start, tried("ridge", 0.01), tried("prompts", 0.22)]).method == "prompts"
    assert best([start, tried("ridge", 0.1), tried("prompts", 0.29)]).method == "ridge"
    assert best([start, tried("ridge", 0.1), tried("prompts", 0.31), tried("prompts", 0.4)]).gain == 0.4
    assert best([start, tried("ridge", 0.1), tried("prompts", math.nan)]).method == "ridge"
    assert best([tried("start", math.nan), tried("ridge", math.nan)]).method == "start"


def test_interval_holds_its_share_of_new_errors():
    # Of n exchangeable errors and a new one, the new one is among the smallest k with chance k / (n + 1).
    rng = np.random.default_rng(0)
    held = [
        abs(rng.normal()) <= prediction_interval(rng.normal(size=19)).half_width  # the 18th of 19
        for _ in range(4000)
    ]
    assert np.mean(held) == pytest.approx(18 / 20, abs=0.015)
    assert LEVEL == 0.9


def test_interval_needs_nine_shots():
    assert prediction_interval(np.ones(8)) is None
    errors = np.array([0.0, -9.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert prediction_interval(errors).half_width == 9
