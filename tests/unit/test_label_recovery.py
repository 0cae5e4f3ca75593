"""MOS and raters from single ratings, against independent computations of the published procedures."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import kurtosis

from grmp_plugin import recover_mos
from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.labelling.opinions import read_opinions
from grmp_plugin.labelling.pairwise import fit
from grmp_plugin.labelling.subject_models import by_likelihood, screened_by_kurtosis, without_bias


def simulated(
    people: int, images: int = 50, seed: int = 0, missing: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """True qualities (J,) and ratings (J, I) from 1 to 5, of people with biases and inconsistencies."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(1.3, 4.7, images)
    noise = rng.normal(size=(images, people)) * rng.uniform(0.4, 0.9, people)
    ratings = np.clip(np.round(true[:, None] + rng.normal(0, 0.4, people) + noise), 1, 5)
    ratings[rng.random(ratings.shape) < missing] = np.nan
    return true, ratings


def frame(ratings: np.ndarray, **names: str) -> pd.DataFrame:
    rows = [
        (f"{image}.png", names.get(f"r{rater}", f"r{rater}"), ratings[image, rater], 2.0 + rater, 0)
        for rater in range(ratings.shape[1])
        for image in range(len(ratings))
        if np.isfinite(ratings[image, rater])
    ]
    return pd.DataFrame(rows, columns=["image", "rater", "rating", "seconds", "repeat"])


def likelihood_of_p910(ratings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P.910's model by a general optimizer: u_ji = q_j + b_i + v_i e, sum of biases 0."""
    images, people = ratings.shape

    def loss(x: np.ndarray) -> float:
        q, b, v = x[:images], x[images : images + people], np.exp(x[images + people :])
        residual = (ratings - q[:, None] - (b - b.mean())) / v
        return float(np.nansum(residual**2 / 2 + np.log(v) * np.isfinite(ratings)))

    start = np.concatenate([np.nanmean(ratings, axis=1), np.zeros(people), np.full(people, math.log(0.7))])
    found = minimize(
        loss, start, method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-13}
    ).x
    b = found[images : images + people]
    return found[:images], b - b.mean(), np.exp(found[images + people :])


def rejected_by_bt500(ratings: np.ndarray) -> list[bool]:
    """BT.500's screening as the recommendation describes it, for ratings without gaps."""
    images, people = ratings.shape
    above, below = np.zeros(people), np.zeros(people)
    for row in ratings:
        normal = 2 <= kurtosis(row, fisher=False) <= 4
        reach = (2 if normal else math.sqrt(20)) * row.std()
        above += row >= row.mean() + reach
        below += row <= row.mean() - reach
    together = above + below
    with np.errstate(invalid="ignore"):
        return ((together / images > 0.05) & (np.abs((above - below) / together) < 0.3)).tolist()


def test_likelihood_agrees_with_a_general_optimizer() -> None:
    _, ratings = simulated(15, missing=0.1)
    q, b, v = likelihood_of_p910(ratings)
    found = by_likelihood(ratings)
    np.testing.assert_allclose(found.mos, q, atol=2e-3)
    np.testing.assert_allclose(found.bias, b, atol=2e-3)
    np.testing.assert_allclose(found.inconsistency, v, atol=2e-3)


def test_removal_of_biases_agrees_with_its_definition() -> None:
    _, ratings = simulated(6, missing=0.2)
    bias = np.nanmean(ratings - np.nanmean(ratings, axis=1, keepdims=True), axis=0)
    found = without_bias(ratings)
    np.testing.assert_allclose(found.bias, bias, atol=1e-12)
    np.testing.assert_allclose(found.mos, np.nanmean(ratings - bias, axis=1), atol=1e-12)


def test_screening_agrees_with_bt500() -> None:
    _, ratings = simulated(20, images=80, seed=3)
    rng = np.random.default_rng(4)
    ratings[:, 5] = rng.choice([1.0, 5.0], len(ratings))  # at random from the ends
    expected = rejected_by_bt500(ratings)
    assert screened_by_kurtosis(ratings).tolist() == expected
    assert expected[5]


def test_consistent_raters_weigh_more_and_intervals_cover() -> None:
    covered = []
    for seed in range(6):
        true, ratings = simulated(15, seed=seed)
        found = recover_mos(frame(ratings))
        assert found.remarks == ()
        low, high = (np.array([row[end] for row in found.rows]) for end in ("low", "high"))
        # Rounding and the ends of the scale pull the mean; the level is not exact.
        centred = true - true.mean() + np.mean([row["mos"] for row in found.rows])
        covered.append(((low <= centred) & (centred <= high)).mean())
    assert 0.85 < np.mean(covered) <= 1


def test_few_raters_are_not_given_to_a_likelihood_that_collapses() -> None:
    true, ratings = simulated(4)
    assert by_likelihood(ratings).inconsistency.min() < 0.01  # one rater's opinion would be the MOS
    found = recover_mos(frame(ratings))
    assert "P.913" in found.recovery.method
    assert np.corrcoef([row["mos"] for row in found.rows], true)[0, 1] > 0.93


def test_a_rater_who_contradicts_everybody_is_left_out_and_named() -> None:
    true, ratings = simulated(12)
    ratings[:, 3] = 6 - ratings[:, 3]
    found = recover_mos(frame(ratings, r3="Mallory"))
    (out,) = [rater for rater in found.raters if rater.screened]
    assert out.rater == "Mallory"
    assert out.correlation < -0.5
    assert out.screened.startswith("contradicts the others (correlation -0.")
    assert found.remarks == (f"Mallory is left out: {out.screened}",)
    assert {row["n"] for row in found.rows} == {11}
    assert np.corrcoef([row["mos"] for row in found.rows], true)[0, 1] > 0.97


def test_of_three_raters_nobody_is_left_out_but_it_is_said() -> None:
    _, ratings = simulated(3)
    ratings[:, 1] = 6 - ratings[:, 1]
    found = recover_mos(frame(ratings))
    assert not any(rater.screened for rater in found.raters)
    (remark,) = found.remarks
    assert remark.startswith("r1 contradicts the others")
    assert "ask whether the scale was understood" in remark


def test_one_and_two_raters_are_said_so() -> None:
    _, ratings = simulated(2)
    one, two = recover_mos(frame(ratings[:, :1])), recover_mos(frame(ratings))
    assert one.remarks[0].startswith("One person rated")
    assert two.remarks[0].startswith("Two people rated")
    assert [row["mos"] for row in one.rows] == ratings[:, 0].tolist()
    assert {row["low"] for row in one.rows} == {row["std"] for row in one.rows} == {None}
    assert all(row["low"] < row["mos"] < row["high"] or row["low"] == row["high"] for row in two.rows)
    ratings[:, 1] = 6 - ratings[:, 0]
    assert recover_mos(frame(ratings)).remarks[1].startswith("The two raters contradict each other")


@pytest.mark.parametrize("people", [1, 2, 5, 12])
def test_all_ratings_equal_are_said_so(people: int) -> None:
    found = recover_mos(frame(np.full((20, people), 3.0)))
    assert {row["mos"] for row in found.rows} == {3.0}
    assert any(remark.startswith("All ratings are 3, so nothing can be learned") for remark in found.remarks)


def test_one_rater_with_equal_ratings_is_named() -> None:
    _, ratings = simulated(5)
    ratings[:, 2] = 4
    found = recover_mos(frame(ratings))
    assert found.remarks == ("r2 gave every picture the same rating, 4",)
    assert math.isnan(found.raters[2].correlation)


def test_facts_of_a_rater() -> None:
    true, ratings = simulated(8)
    ratings[:, 0] = np.clip(np.round(true + 1), 1, 5)
    table = frame(ratings)
    again = table[(table.rater == "r0") & table.image.isin([f"{n}.png" for n in range(4)])].copy()
    again["rating"] = np.clip(again.rating - 1, 1, 5)
    again["repeat"] = 1
    found = recover_mos(pd.concat([table, again])).raters[0]
    assert (found.votes, found.repeated, found.seconds) == (54, 4, 2.0)
    assert found.repeat_difference == 1
    assert found.bias == pytest.approx(ratings[:, 0].mean() - ratings.mean(), abs=0.06)
    others = ratings[:, 1:].mean(axis=1)
    own = ratings[:, 0].copy()
    own[:4] -= 0.5
    assert found.correlation == pytest.approx(np.corrcoef(own, others)[0, 1])


def pairs_of(
    true: np.ndarray, people: int, each: int, seed: int, contrary: int | None = None
) -> pd.DataFrame:
    """Pairs decided by the Bradley-Terry model, with the answer "same" where it is close to even."""
    rng = np.random.default_rng(seed)
    rows = []
    for rater in range(people):
        for _ in range(each):
            left, right = rng.choice(len(true), 2, replace=False)
            chance = 1 / (1 + math.exp(true[right] - true[left]))
            won = rng.random() < chance
            better = "same" if abs(chance - 0.5) < 0.05 else "left" if won != (rater == contrary) else "right"
            rows.append((f"{left}.png", f"{right}.png", f"r{rater}", better))
    return pd.DataFrame(rows, columns=["left", "right", "rater", "better"])


def test_pairs_agree_with_the_penalized_likelihood() -> None:
    true = np.random.default_rng(0).normal(0, 1.5, 15)
    found = read_opinions(pairs_of(true, 3, 60, 0))
    scores, error = fit(found, np.ones(len(found.won), bool))

    def loss(x: np.ndarray) -> float:
        ahead = x[found.left] - x[found.right]
        likelihood = found.won * np.log1p(np.exp(-ahead)) + (1 - found.won) * np.log1p(np.exp(ahead))
        every = x[:, None] - x[None]  # each image is even with all others in half a comparison altogether
        return float(likelihood.sum() + 0.25 / (len(x) - 1) * np.log1p(np.exp(every)).sum())

    best = minimize(loss, np.zeros(len(scores)), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(scores, best.x - best.x.mean(), atol=1e-3)
    assert (error > 0.2).all()
    assert (error < 1.5).all()


def test_pairs_recover_the_order_and_their_intervals_cover() -> None:
    covered = []
    for seed in range(10):
        true = np.random.default_rng(seed).normal(0, 1.2, 20)
        true -= true.mean()
        found = recover_mos(pairs_of(true, 4, 200, seed))
        rows = {row["image"]: row for row in found.rows}
        in_order = [rows[f"{number}.png"] for number in range(20)]
        assert np.corrcoef([row["mos"] for row in in_order], true)[0, 1] > 0.93
        covered += [row["low"] <= quality <= row["high"] for row, quality in zip(in_order, true, strict=True)]
    assert 0.9 < np.mean(covered) <= 1


def test_a_contrary_rater_of_pairs_is_left_out() -> None:
    true = np.random.default_rng(1).normal(0, 1.5, 20)
    found = recover_mos(pairs_of(true, 5, 120, 1, contrary=2))
    assert [bool(rater.screened) for rater in found.raters] == [False, False, True, False, False]
    assert "r2 is left out: contradicts the others" in found.remarks[0]


def test_pairs_that_are_all_the_same() -> None:
    table = pairs_of(np.zeros(6), 3, 30, 0)
    assert set(table.better) == {"same"}
    found = recover_mos(table)
    assert any("nothing can be learned" in remark for remark in found.remarks)
    assert {row["mos"] for row in found.rows} == {0.0}


def test_an_image_that_always_won_has_a_finite_score() -> None:
    table = pd.DataFrame(
        [("a", "b", "x", "left"), ("b", "c", "x", "left"), ("a", "c", "x", "left")] * 4,
        columns=["left", "right", "rater", "better"],
    )
    scores = {row["image"]: row["mos"] for row in recover_mos(table).rows}
    assert scores["a"] > scores["b"] > scores["c"] > -10


def test_report_json_and_files(tmp_path) -> None:
    _, ratings = simulated(4)
    found = recover_mos(frame(ratings, r1="<script>alert(1)</script>"))
    page = found.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert found.to_dict()["raters"][1]["rater"] == "<script>alert(1)</script>"
    assert len(pd.read_csv(found.write(tmp_path / "mos.csv"))) == 50
    assert list(found.to_pandas().columns) == ["image", "mos", "std", "n", "low", "high"]


def test_files_that_are_no_single_ratings(tmp_path) -> None:
    for text, words in (
        ("image,mos\na,1\n", "column of the rater"),
        ("image,rater,rating\na,x,good\n", "line 2: text where a number should be: 'good'"),
        ("image,rater,rating\na,,3\n", "line 2: nothing in the column 'rater'"),
        ("left,right,rater,better\na,b,x,maybe\n", "'maybe' is none of left, same, right"),
    ):
        (tmp_path / "r.csv").write_text(text)
        with pytest.raises(InputError, match=words):
            recover_mos(tmp_path / "r.csv")


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path) -> None:
    from grmp_plugin.api import label, recover

    monkeypatch.setattr(recover, "find_spec", lambda name: None)
    with pytest.raises(GRMPError, match=r"pip install 'grmp-iqa\[label\]'"):
        recover_mos(tmp_path / "r.csv")
    monkeypatch.setattr(label, "find_spec", lambda name: None)
    with (
        pytest.raises(GRMPError, match=r"pip install 'grmp-iqa\[label\]'"),
        label.open_labelling("x", "r.csv"),
    ):
        pass
