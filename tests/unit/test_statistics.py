"""Agreement with MOS: small cases by hand, scipy as oracle, and what an interval promises, by simulation."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from grmp_plugin.errors import InputError
from grmp_plugin.statistics import agreement as module
from grmp_plugin.statistics import bootstrap, resampled_correlation
from grmp_plugin.statistics.agreement import (
    Agreement,
    agreement,
    bootstrap_interval,
    paired_difference,
    spread,
)
from grmp_plugin.statistics.bootstrap import Interval
from grmp_plugin.statistics.correlation import krcc, plcc, rmse, srcc

pytestmark = pytest.mark.filterwarnings("error")

CORRELATIONS = {"srcc": srcc, "plcc": plcc, "krcc": krcc}
STATISTICS = {**CORRELATIONS, "rmse": rmse}
ORACLES = {
    "srcc": lambda x, y: stats.spearmanr(x, y).statistic,
    "plcc": lambda x, y: stats.pearsonr(x, y).statistic,
    "krcc": lambda x, y: stats.kendalltau(x, y).statistic,
    "rmse": lambda x, y: np.linalg.norm(x - y) / len(x) ** 0.5,
}


def correlated(n, r, generator):
    """Predictions and MOS from a bivariate normal distribution with correlation r: two of (n,)."""
    x, noise = generator.normal(size=(2, n))
    return x, r * x + math.sqrt(1 - r * r) * noise


def clustered(references, versions, generator):
    """Images of which those with one reference share part of their MOS and of the prediction's error."""
    groups = np.repeat(np.arange(references), versions)
    shared_mos, shared_error = generator.normal(size=(2, references))[:, groups]
    own_mos, own_error = generator.normal(size=(2, len(groups)))
    mos = shared_mos + 0.3 * own_mos
    return mos + shared_error + 0.3 * own_error, mos, groups


def width(interval):
    return interval.high - interval.low


def undefined(interval):
    return isinstance(interval, Interval) and all(math.isnan(bound) for bound in interval)


def test_by_hand():
    """Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4; of six pairs five are concordant and one is tied in x."""
    x, y = [1, 2, 2, 4], [1, 3, 2, 4]
    assert srcc(x, y) == pytest.approx(math.sqrt(0.9))
    assert krcc(x, y) == pytest.approx(5 / math.sqrt(5 * 6))
    assert plcc(x, y) == pytest.approx(4.5 / math.sqrt(4.75 * 5))
    assert rmse(x, y) == pytest.approx(0.5)


def test_order_and_line():
    mos = [1.0, 2.0, 3.0, 4.0]
    convex = [1.0, 10.0, 100.0, 1000.0]
    assert srcc(convex, mos) == pytest.approx(1)
    assert krcc(convex[::-1], mos) == pytest.approx(-1)
    assert plcc(convex, mos) < 0.9
    assert plcc([2 * value + 7 for value in mos], mos) == pytest.approx(1)
    assert rmse([value - 3 for value in mos], mos) == pytest.approx(3)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("levels", [3, 10, 10**6])
def test_scipy_agrees(name, levels):
    """From nearly all values tied to none."""
    generator = np.random.default_rng(levels)
    x = generator.integers(levels, size=80)
    y = x + generator.integers(levels, size=80)
    assert STATISTICS[name](x, y) == pytest.approx(ORACLES[name](x, y), rel=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("levels", [3, 10**6])
def test_resamples_agree_with_scipy(name, levels, monkeypatch):
    """Multiplicities must give what the resample, written out, gives; also in several blocks of pairs."""
    monkeypatch.setattr(resampled_correlation, "_BLOCK", 7)
    generator = np.random.default_rng(levels)
    x, noise = generator.integers(levels, size=(2, 30)).astype(float)
    y = x + noise
    counts = generator.integers(3, size=(50, 30)).astype(float)
    ours = module._STATISTICS[name].resampled(x, y, counts)
    theirs = [ORACLES[name](*(np.repeat(v, row.astype(int)) for v in (x, y))) for row in counts]
    assert ours == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_resample_of_equal_values_is_undefined(name):
    """0.1 is no binary fraction: a mean of its copies is not quite 0.1."""
    x = np.array([0.1, 0.1, 0.1, 0.7, 0.3])
    y = np.array([5.3, 1.7, 2.9, 0.1, 0.1])
    counts = np.array([[3, 1, 3, 0, 0], [0, 0, 0, 7, 6], [1, 0, 0, 1, 0]], float)
    assert module._STATISTICS[name].resampled(x, y, counts) == pytest.approx(
        [math.nan, math.nan, -1], nan_ok=True
    )


@pytest.mark.parametrize("name", STATISTICS)
def test_interval_agrees_with_scipy(name):
    x, y = correlated(50, 0.7, np.random.default_rng(0))
    theirs = stats.bootstrap(
        (x, y),
        ORACLES[name],
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=1000,
        random_state=np.random.default_rng(1),
    ).confidence_interval
    ours = bootstrap_interval(x, y, name, seed=2)
    assert width(theirs) > 0.15
    assert ours == pytest.approx(theirs, abs=0.03)


def test_interval_of_groups_agrees_with_resampling_by_hand():
    """With groups of several sizes, where the resamples have several lengths."""
    generator = np.random.default_rng(3)
    x, y, groups = clustered(12, 8, generator)
    kept = generator.random(len(x)) < 0.6
    x, y, groups = x[kept], y[kept], groups[kept]
    members = [np.flatnonzero(groups == group) for group in range(12)]
    assert len({len(images) for images in members}) > 2
    values = []
    for _ in range(1000):
        images = np.concatenate([members[group] for group in generator.integers(12, size=12)])
        values.append(ORACLES["srcc"](x[images], y[images]))
    ours = bootstrap_interval(x, y, groups=[f"reference-{group}" for group in groups])
    assert ours == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.05)
    assert width(ours) > 0.2


@pytest.mark.parametrize(
    ("name", "true"),
    [
        ("srcc", 6 / math.pi * math.asin(0.7 / 2)),
        ("plcc", 0.7),
        ("krcc", 2 / math.pi * math.asin(0.7)),
        ("rmse", math.sqrt(2 - 2 * 0.7)),
    ],
)
def test_coverage(name, true):
    generator = np.random.default_rng(4)
    covered = 0
    for seed in range(200):
        x, y = correlated(60, 0.7, generator)
        low, high = bootstrap_interval(x, y, name, seed=seed, resamples=300)
        covered += low <= true <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_groups_keep_coverage_where_images_alone_do_not():
    """The true PLCC is that of mos and mos + error, whose variances are both 1.09."""
    generator = np.random.default_rng(5)
    covered = {"images": 0, "groups": 0}
    widths = []
    for seed in range(150):
        x, y, groups = clustered(25, 6, generator)
        images = bootstrap_interval(x, y, "plcc", seed=seed, resamples=300)
        whole = bootstrap_interval(x, y, "plcc", groups=groups, seed=seed, resamples=300)
        covered["images"] += images.low <= math.sqrt(0.5) <= images.high
        covered["groups"] += whole.low <= math.sqrt(0.5) <= whole.high
        widths.append(width(whole) / width(images))
    assert covered["images"] / 150 < 0.75
    assert covered["groups"] / 150 > 0.85
    assert np.median(widths) > 1.5


def test_groups_of_one_image_are_images():
    x, y = correlated(40, 0.5, np.random.default_rng(6))
    assert bootstrap_interval(x, y, groups=[f"{i}.png" for i in range(40)]) == bootstrap_interval(x, y)


def test_groups_need_not_lie_together():
    x, y, groups = clustered(12, 8, np.random.default_rng(17))
    apart = [values.reshape(12, 8).T.ravel() for values in (x, y, groups)]
    together = bootstrap_interval(x, y, groups=groups)
    assert bootstrap_interval(apart[0], apart[1], groups=apart[2]) == pytest.approx(together, rel=1e-12)


def test_no_bound_beyond_one():
    x = np.random.default_rng(18).normal(size=30)
    for name in CORRELATIONS:
        for sign in (1, -1):
            bounds = bootstrap_interval(sign * 3 * x + 0.1, x, name, level=0.999)
            assert bounds == pytest.approx((sign, sign))
            assert max(np.abs(bounds)) <= 1


@pytest.mark.parametrize("name", STATISTICS)
def test_seed_alone_decides(name, monkeypatch):
    x, y = correlated(40, 0.5, np.random.default_rng(7))
    first = bootstrap_interval(x, y, name, seed=1)
    assert bootstrap_interval(x, y, name, seed=2) != first
    monkeypatch.setattr(bootstrap, "_CHUNK", 40 * 300)
    assert bootstrap_interval(x, y, name, seed=1) == pytest.approx(first, rel=1e-12)


def test_level():
    x, y = correlated(40, 0.5, np.random.default_rng(8))
    half, most = (bootstrap_interval(x, y, level=level) for level in (0.5, 0.99))
    assert most.low < half.low < srcc(x, y) < half.high < most.high


@pytest.mark.parametrize("name", STATISTICS)
def test_paired_difference_of_better_and_worse(name):
    generator = np.random.default_rng(9)
    mos = generator.normal(size=100)
    good, bad = mos + 0.3 * generator.normal(size=100), mos + 1.5 * generator.normal(size=100)
    difference, interval = paired_difference(good, bad, mos, name)
    assert difference == pytest.approx(ORACLES[name](good, mos) - ORACLES[name](bad, mos))
    assert interval.low < difference < interval.high
    assert interval.low > 0 or (name == "rmse" and interval.high < 0)
    opposite, mirrored = paired_difference(bad, good, mos, name)
    assert opposite == -difference
    assert mirrored == pytest.approx((-interval.high, -interval.low))


def test_paired_difference_uses_the_same_resamples():
    """Two predictions that share most of their error differ far more surely than each is known."""
    generator = np.random.default_rng(10)
    mos, error = generator.normal(size=(2, 100))
    first, second = mos + error, mos + error + 0.05 * generator.normal(size=100)
    _, interval = paired_difference(first, second, mos)
    assert width(interval) < width(bootstrap_interval(first, mos)) / 4
    assert paired_difference(first, first, mos) == (0, Interval(0, 0))


def test_paired_coverage_of_equal_predictors():
    generator = np.random.default_rng(11)
    covered = 0
    for seed in range(200):
        mos, one, other = generator.normal(size=(3, 60))
        _, (low, high) = paired_difference(mos + one, mos + other, mos, seed=seed, resamples=300)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_paired_difference_of_groups():
    x, y, groups = clustered(15, 8, np.random.default_rng(12))
    other = x + np.random.default_rng(13).normal(size=15)[groups]
    _, images = paired_difference(x, other, y)
    _, whole = paired_difference(x, other, y, groups=groups)
    assert width(whole) > 1.3 * width(images)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_constants_have_no_correlation(name):
    flat, rising = [0.1] * 8, list(range(8))
    for pair in ((flat, rising), (rising, flat), (flat, flat)):
        assert math.isnan(CORRELATIONS[name](*pair))
        assert undefined(bootstrap_interval(*pair, name))
    difference, interval = paired_difference(rising, flat, rising, name)
    assert math.isnan(difference)
    assert undefined(interval)


def test_constants_have_an_error():
    assert rmse([3.0] * 8, [1.0] * 8) == 2
    assert bootstrap_interval([3.0] * 8, [1.0] * 8, "rmse") == (2, 2)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_nearly_constant_is_not_constant(name):
    nearly = [1, 1 + 2**-52, 1 + 2**-51, 1 + 2**-50, 1 + 2**-49, 1 + 2**-48]
    powers = [0, 1, 2, 4, 8, 16]
    assert CORRELATIONS[name](nearly, powers) == pytest.approx(1)
    assert bootstrap_interval(nearly, powers, name) == pytest.approx((1, 1))


@pytest.mark.parametrize("name", STATISTICS)
def test_few_images(name):
    assert math.isnan(STATISTICS[name]([], []))
    assert math.isnan(STATISTICS[name]([1], [2]))
    assert STATISTICS[name]([1, 2], [2, 3]) == pytest.approx(1)
    for images, defined in ((0, False), (4, False), (5, True)):
        mos = np.arange(images)
        interval = bootstrap_interval(mos**2, mos, name)
        assert undefined(interval) != defined


def test_few_groups():
    x, y = correlated(12, 0.5, np.random.default_rng(14))
    assert undefined(bootstrap_interval(x, y, groups=[0, 1] * 6))
    assert not undefined(bootstrap_interval(x, y, groups=[0, 1, 2] * 4))


@pytest.mark.parametrize("name", CORRELATIONS)
def test_undefined_resamples_are_left_out(name):
    """One image that differs is absent from (9 / 10)**10 = 35% of resamples; two, from 58% of five."""
    one = [0] * 9 + [1]
    assert bootstrap_interval(one, one, name) == pytest.approx((1, 1))
    assert CORRELATIONS[name]([1, 0, 0, 0, 0], [0, 0, 0, 0, 1]) == pytest.approx(-0.25)
    assert undefined(bootstrap_interval([1, 0, 0, 0, 0], [0, 0, 0, 0, 1], name))


@pytest.mark.parametrize("function", [*STATISTICS.values(), bootstrap_interval, agreement])
@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ([1, 2, math.nan, 4, 5], "nan at position 2"),
        ([1, math.inf, 3, 4, 5], "inf at position 1"),
        ([1, 2, None, 4, 5], "nan at position 2"),
        ([1, 2, 3, 4], "4 values but the MOS 5"),
        ([[1], [2], [3], [4], [5]], r"shape \(5, 1\)"),
        (["good", 2, 3, 4, 5], "list of numbers"),
    ],
)
def test_bad_predictions(function, predicted, message):
    with pytest.raises(InputError, match=message):
        function(predicted, [1, 2, 3, 4, 5])


def test_bad_arguments():
    five = [1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="MOS has nan at position 4"):
        srcc(five, [1, 2, 3, 4, math.nan])
    with pytest.raises(InputError, match="second prediction has 4 values"):
        paired_difference(five, five[1:], five)
    with pytest.raises(InputError, match="first prediction has inf"):
        paired_difference([1, 2, 3, 4, math.inf], five, five)
    with pytest.raises(InputError, match="4 groups for 5 images"):
        agreement(five, five, groups=[1, 2, 3, 4])
    for call in (
        lambda: bootstrap_interval(five, five, "srocc"),
        lambda: paired_difference(five, five, five, "srocc"),
    ):
        with pytest.raises(InputError, match="srcc, plcc, krcc, rmse; not 'srocc'"):
            call()
    with pytest.raises(InputError, match="splits has nan at position 1"):
        spread([0.5, math.nan])


def test_agreement():
    x, y, groups = clustered(10, 4, np.random.default_rng(15))
    result = agreement(x, y, groups=groups, seed=3)
    assert result.images == 40
    for name, statistic in STATISTICS.items():
        assert getattr(result, name) == statistic(x, y)
        interval = getattr(result, f"{name}_interval")
        assert interval == bootstrap_interval(x, y, name, groups=groups, seed=3)
        assert interval.low < getattr(result, name) < interval.high
    assert agreement(x, y) != result


def test_agreement_as_plain_data():
    pair = Interval(0.25, 0.75)
    none = Interval(math.nan, math.nan)
    data = Agreement(7, 0.5, math.nan, 0.4, 2.0, pair, none, pair, pair).as_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == {
        "images": 7,
        "srcc": 0.5,
        "plcc": None,
        "krcc": 0.4,
        "rmse": 2.0,
        "srcc_interval": [0.25, 0.75],
        "plcc_interval": [None, None],
        "krcc_interval": [0.25, 0.75],
        "rmse_interval": [0.25, 0.75],
    }
    assert type(data["srcc_interval"]) is list


def test_results_are_plain_numbers():
    """Of float32 arrays too, which a network gives."""
    x, y = (values.astype(np.float32) for values in correlated(30, 0.5, np.random.default_rng(16)))
    data = agreement(x, y).as_dict() | spread(x).as_dict()
    for value in data.values():
        assert type(value) in (int, float, list)
        assert not isinstance(value, list) or all(type(bound) is float for bound in value)


def test_spread():
    values = [0.7, 0.9, 0.8, 0.75, 0.6, 0.85, 0.81, 0.79, 0.72, 0.78]
    result = spread(values)
    assert result.splits == 10
    assert result.median == pytest.approx(0.785)
    assert (result.min, result.max) == (0.6, 0.9)
    theirs = stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=2000, random_state=np.random.default_rng(1)
    ).confidence_interval
    assert result.interval == pytest.approx(theirs, abs=0.011)
    assert set(result.as_dict()) == {"splits", "median", "interval", "min", "max"}


@pytest.mark.parametrize("splits", [5, 6, 10])
def test_the_interval_of_a_spread_covers_the_median(splits):
    """Of the distribution that the values come from, whose median is 0."""
    values = np.random.default_rng(splits).normal(size=(1000, splits))
    covered = [low <= 0 <= high for low, high in (spread(row, resamples=400).interval for row in values)]
    assert 0.92 <= np.mean(covered) <= 0.99


def test_spread_of_few_splits():
    assert spread([0.5, 0.7, 0.9, 0.6, 0.8]).interval == (0.5, 0.9)
    assert undefined(spread([0.5, 0.7, 0.9, 0.6]).interval)
    two = spread([0.5, 0.7])
    assert (two.median, two.min, two.max) == (pytest.approx(0.6), 0.5, 0.7)
    assert undefined(two.interval)
    assert spread([]).as_dict() == {
        "splits": 0,
        "median": None,
        "interval": [None, None],
        "min": None,
        "max": None,
    }
