"""Cross-validation inside the shots, and prediction intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from grmp_plugin.training.choice import (
    Tried,
    best,
    explained,
    left_out,
    line_left_out,
    parts,
    standard_error,
    within_parts,
)
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


def test_standard_error_is_the_spread_over_samples():
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


def test_line_left_out_is_the_regression_of_the_others():
    rng = np.random.default_rng(0)
    scores, ratings = rng.normal(size=(2, 12))
    divided = parts(12, None, 3)
    found = line_left_out(divided, scores, ratings)
    for part in divided:
        others = np.setdiff1d(np.arange(12), part)
        line = np.polyfit(scores[others], ratings[others], 1)
        np.testing.assert_allclose(found[part], np.polyval(line, scores[part]))
    # Equal scores say nothing: the mean of the others.
    flat = line_left_out(divided, np.ones(12), ratings)
    assert flat[divided[0]] == pytest.approx(np.delete(ratings, divided[0]).mean())


def test_explained_share_of_the_variance():
    rng = np.random.default_rng(0)
    ratings = rng.normal(size=20)
    divisions = [parts(20, None, seed) for seed in range(3)]
    assert explained(divisions, [ratings] * 3, ratings) == 1
    by_mean = [line_left_out(divided, np.zeros(20), ratings) for divided in divisions]
    assert explained(divisions, by_mean, ratings) == pytest.approx(0)
    half = [(ratings + found) / 2 for found in by_mean]  # half of each error
    assert explained(divisions, half, ratings) == pytest.approx(0.75)
    doubled = [2 * found - ratings for found in by_mean]
    assert explained(divisions, doubled, ratings) == pytest.approx(-3)
    assert math.isnan(explained(divisions, by_mean, np.ones(20)))


def tried(method, gain, explained=None):
    return Tried(method, None, None, 0.5, gain, 0.1 if method == "prompts" else None, 1, explained)


@pytest.mark.parametrize(
    ("start", "ridge", "chosen"),
    [
        (0.3, 0.31, "ridge"),
        (0.3, 0.29, "start"),
        (0.3, 0.3, "start"),
        (-0.2, -0.1, "start"),  # the mean of the shots is better than both
        (-0.2, 0.1, "ridge"),
        (math.nan, math.nan, "start"),
    ],
)
def test_ridge_replaces_the_start_where_it_explains_more_than_nothing(start, ridge, chosen):
    assert best([tried("start", 0.0, start), tried("ridge", 0.2, ridge)]).method == chosen


def test_gradient_steps_must_beat_the_others_clearly():
    start, ridge = tried("start", 0.0, 0.0), tried("ridge", 0.1, 0.3)
    assert best([start, tried("ridge", 0.0, -0.1), tried("prompts", 0.19)]) is start
    assert best([start, tried("ridge", 0.0, -0.1), tried("prompts", 0.21)]).method == "prompts"
    assert best([start, ridge, tried("prompts", 0.29)]) is ridge
    assert best([start, ridge, tried("prompts", 0.31), tried("prompts", 0.4)]).gain == 0.4
    assert best([start, ridge, tried("prompts", math.nan)]) is ridge


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
