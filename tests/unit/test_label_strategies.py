"""The strategies that choose pictures to rate, against plain computations of what they maximise."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from grmp_cli.label import Strategy
from numpy.testing import assert_allclose

from grmp_plugin.api.label_pictures import DEFAULT_STRATEGY, STRATEGY_OF_MORE
from grmp_plugin.api.label_pictures import STRATEGIES as NAMES
from grmp_plugin.labelling.candidates import Candidates, candidates
from grmp_plugin.labelling.clusters import typical_members
from grmp_plugin.labelling.coverage import greedy_coverage, sampled_kernel
from grmp_plugin.labelling.experimental_design import least_variance
from grmp_plugin.labelling.pool import Pool
from grmp_plugin.labelling.reading import LeftOut
from grmp_plugin.labelling.selection import STRATEGIES, choose
from grmp_plugin.labelling.so_far import ratings_so_far
from grmp_plugin.labelling.store import Store
from grmp_plugin.labelling.votes import Window
from grmp_plugin.network.head import HeadInputs
from grmp_plugin.training.ridge import fit_ridge


def _candidates(count: int, dimensions: int = 8) -> Candidates:
    """Pictures in four tight clusters of different size, with scores independent of them."""
    rng = np.random.default_rng(0)
    centres = np.eye(4, dimensions)
    which = np.repeat([0, 0, 0, 1, 1, 2, 3, 0, 1, 0], count // 10 + 1)[:count]
    features = centres[which] + rng.normal(0, 0.02, (count, dimensions))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return Candidates(features, rng.permutation(count) / count, lambda chance: features, 0.1)


@pytest.fixture
def pool(small_network) -> Pool:
    """60 pictures as a network with a trunk reads them, made up."""
    return _pool(small_network("trunk", "crops"), 60)


def _pool(network, count: int) -> Pool:
    rng = np.random.default_rng(1)
    with torch.inference_mode():
        features = network.image_features(torch.zeros(1, 3, 32, 32)).shape[1]
        statistics = network.embed(torch.zeros(1, 3, 32, 32))[1].shape[1]
    made = (torch.from_numpy(rng.normal(size=(count, size))).float() for size in (features, statistics))
    logit = torch.from_numpy(rng.normal(size=count)).float()
    paths = tuple(f"{number}.jpg" for number in range(count))
    return Pool(paths, network, HeadInputs(logit, *made), logit.double().numpy(), LeftOut())


def test_command_api_and_library_name_the_same_strategies() -> None:
    assert [each.value for each in Strategy] == list(NAMES) == list(STRATEGIES)
    assert {DEFAULT_STRATEGY, STRATEGY_OF_MORE} <= set(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_chooses_as_many_as_wanted_each_once(name: str) -> None:
    found = _candidates(60)
    first = choose(name, found, 12, (), np.random.default_rng(1))
    assert len(set(first)) == 12
    assert first == choose(name, found, 12, (), np.random.default_rng(1))
    more = choose(name, found, 12, first, np.random.default_rng(2))
    assert len(set(more)) == 12
    assert not set(more) & set(first)
    everything = choose(name, found, 1000, first, np.random.default_rng(3))
    assert sorted([*first, *everything]) == list(range(60))
    assert choose(name, found, 5, range(60), np.random.default_rng(3)) == []


@pytest.mark.parametrize("name", STRATEGIES)
def test_pictures_that_are_all_alike(name: str) -> None:
    same = Candidates(np.ones((12, 4)) / 2, np.zeros(12), lambda chance: np.zeros((12, 0)), 1.0)
    assert len(set(choose(name, same, 5, (3,), np.random.default_rng(0))) - {3}) == 5


@pytest.mark.parametrize("name", ["clusters", "maxherding", "uncertainty"])
def test_each_cluster_is_represented(name: str) -> None:
    found = _candidates(60)
    chosen = choose(name, found, 4, (), np.random.default_rng(0))
    assert sorted(np.argmax(found.features[chosen], axis=1)) == [0, 1, 2, 3]
    # Of those that have one already, none gets another.
    chosen = choose(name, found, 2, chosen[:2], np.random.default_rng(0)) + chosen[:2]
    assert sorted(np.argmax(found.features[chosen], axis=1)) == [0, 1, 2, 3]


def test_clusters_gives_typical_members() -> None:
    found = _candidates(60)
    for index in choose("clusters", found, 4, (), np.random.default_rng(0)):
        mates = found.features[np.argmax(found.features, axis=1) == np.argmax(found.features[index])]
        distances = np.linalg.norm(mates - mates.mean(axis=0), axis=1)
        own = np.linalg.norm(found.features[index] - mates.mean(axis=0))
        assert own <= np.median(distances)


def test_the_most_typical_member_has_the_nearest_neighbours() -> None:
    vectors = np.random.default_rng(2).normal(size=(90, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    (found,) = typical_members(vectors, 1, (), np.random.default_rng(0))
    distances = np.sort(np.linalg.norm(vectors[:, None] - vectors, axis=2), axis=1)
    assert found == np.argmin(distances[:, 1:21].mean(axis=1))


def test_spread_and_both_cover_the_predicted_quality() -> None:
    found = _candidates(100)
    spread = choose("spread", found, 10, (), np.random.default_rng(0))
    assert sorted(int(found.scores[index] * 10) for index in spread) == list(range(10))
    both = choose("both", found, 10, (), np.random.default_rng(0))
    assert sorted(int(found.scores[index] * 5) for index in both) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    more = choose("spread", found, 10, spread, np.random.default_rng(1))
    assert sorted(int(found.scores[index] * 20) for index in [*spread, *more]) == list(range(20))


@pytest.mark.parametrize("taken", [(), (5, 17, 40)])
def test_maxherding_maximises_coverage_greedily(taken: tuple[int, ...]) -> None:
    vectors = np.random.default_rng(3).normal(size=(300, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = sampled_kernel(vectors, np.random.default_rng(0))
    squares = ((vectors[:, None] - vectors) ** 2).sum(axis=2)
    assert_allclose(kernel, np.exp(-squares / np.median(squares)), atol=1e-5)
    held = list(taken)
    for index in greedy_coverage(kernel, 40, taken):
        reached = [kernel[[*held, other]].max(axis=0).sum() for other in range(300)]
        best = max(reached[other] for other in range(300) if other not in held)
        assert reached[index] == pytest.approx(best, rel=1e-5)
        held.append(index)
    assert len(set(held)) == 40 + len(taken)


def test_coverage_of_many_pictures_is_that_of_a_sample() -> None:
    vectors = np.random.default_rng(3).normal(size=(3000, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kernel = sampled_kernel(vectors, np.random.default_rng(0))
    assert kernel.shape == (3000, 1000)
    whole = np.exp(-(2 - 2 * vectors @ vectors.T) / 2)  # the median of squared distances is about 2
    chosen = greedy_coverage(kernel, 30, ())
    exact = greedy_coverage(whole, 30, ())
    assert whole[chosen].max(axis=0).mean() > 0.98 * whole[exact].max(axis=0).mean()


@pytest.mark.parametrize("taken", [(), (5, 17, 40, 5)])
def test_uncertainty_lowers_the_mean_posterior_variance_most(taken: tuple[int, ...]) -> None:
    design = np.random.default_rng(4).normal(size=(80, 12)) * np.linspace(2, 0.1, 12)
    penalty = 0.7

    def mean_variance(rated: list[int]) -> float:
        """By the textbook formula of the posterior of linear regression."""
        precision = np.eye(12) + design[rated].T @ design[rated] / penalty
        return float(np.einsum("nr,rs,ns->n", design, np.linalg.inv(precision), design).mean())

    held = list(dict.fromkeys(taken))
    for index in least_variance(design, 20, taken, penalty):
        left = {other: mean_variance([*held, other]) for other in range(80) if other not in held}
        assert left[index] == pytest.approx(min(left.values()), rel=1e-9)
        held.append(index)
    assert len(set(held)) == len(held)


def test_ratings_so_far_change_the_predicted_quality_and_the_penalty(pool: Pool) -> None:
    before = candidates(pool, {})
    assert_allclose(before.scores, pool.start)
    quality = pool.inputs.features[:, 0].numpy()
    rated = range(40)
    after = candidates(pool, {number: 10 * quality[number] for number in rated})
    some = pool.subset(rated)
    given = (quality[:40] - quality[:40].min()) / np.ptp(quality[:40])
    head = fit_ridge(pool.network, some.inputs, some.start, given)
    assert_allclose(after.scores, head.predict(pool.inputs, pool.start), atol=1e-6)
    assert after.penalty == head.penalty != before.penalty
    # Strategies that read them choose others, and the rest the same.
    for name in STRATEGIES:
        chosen = [choose(name, each, 10, rated, np.random.default_rng(0)) for each in (before, after)]
        assert (chosen[0] != chosen[1]) is (name in ("spread", "both", "uncertainty")), name


@pytest.mark.parametrize("ratings", [dict.fromkeys(range(30), 3.0), {at: float(at) for at in range(7)}])
def test_nothing_is_fitted_to_few_or_equal_ratings(pool: Pool, ratings: dict[int, float]) -> None:
    assert_allclose(candidates(pool, ratings).scores, pool.start)


def test_design_is_the_kernel_of_ridge_regression(pool: Pool) -> None:
    design = candidates(pool, {}).design(np.random.default_rng(0))
    values = (pool.start[:, None], pool.inputs.features.numpy(), pool.inputs.statistics.numpy())
    expected = np.zeros((60, 60))
    for block, share in zip(values, (0.2, 0.25, 1.0), strict=True):
        centred = block - block.mean(axis=0)
        expected += share * (centred @ centred.T) / (centred**2).sum(axis=1).mean()
    assert_allclose(design @ design.T, expected, atol=1e-4)


def test_ratings_so_far_of_single_votes(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.jpg") for number in range(4)]
    store = Store.create(tmp_path / "r.session.sqlite", paths, [], pairs=False, seed=0)
    assert ratings_so_far(store) == {}
    for name, shift in (("Ada", 0), ("Bo", 1)):
        rater = store.enter(name)
        while (task := store.state(rater).task) is not None:
            number = paths.index(store.picture_of(rater, task, 0))
            store.vote(rater, task, None if number == 3 else number + 1 + shift, 1.0, Window(800, 600, 1.0))
    assert ratings_so_far(store) == {paths[0]: 1.5, paths[1]: 2.5, paths[2]: 3.5}
    store.close()


def test_ratings_so_far_of_pairs(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.jpg") for number in range(6)]
    store = Store.create(tmp_path / "r.session.sqlite", paths, [], pairs=True, seed=0)
    assert ratings_so_far(store) == {}
    for name in ("Ada", "Bo", "Cy"):
        rater = store.enter(name)
        while (task := store.state(rater).task) is not None:
            left, right = (paths.index(store.picture_of(rater, task, side)) for side in (0, 1))
            store.vote(rater, task, -1 if left > right else 1, 1.0, Window(800, 600, 1.0))
    found = ratings_so_far(store)
    ordered = sorted(paths, key=found.__getitem__)
    assert (ordered[0], ordered[-1]) == (paths[0], paths[-1])
    store.close()


def test_ten_thousand_pictures_take_seconds(small_network) -> None:
    found = candidates(_pool(small_network("trunk", "crops"), 10_000), {})
    for name in STRATEGIES:
        began = time.process_time()
        assert len(set(choose(name, found, 50, (), np.random.default_rng(0)))) == 50
        # About 1 s with one thread; the time of all threads is counted.
        assert time.process_time() - began < 10, name
