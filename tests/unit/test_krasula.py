"""Krasula's analyses: pairs by hand, scikit-learn's AUC as oracle."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from grmp_plugin.errors import InputError
from grmp_plugin.statistics import krasula as module
from grmp_plugin.statistics.krasula import pair_analysis

pytestmark = pytest.mark.filterwarnings("error")


def ratings(n, generator, levels=None):
    """Predictions, MOS and standard errors, in steps if `levels` is given: three of (n,)."""
    mos = generator.uniform(1, 5, n)
    predicted = mos + generator.normal(size=n)
    if levels:
        mos, predicted = np.round(mos * levels) / levels, np.round(predicted * levels) / levels
    return predicted, mos, generator.uniform(0.1, 0.6, n)


def by_pairs(predicted, mos, errors):
    """Both AUC by the definition, pair after pair, with scikit-learn; different and similar pairs."""
    sizes, kinds, signed, better = [], [], [], []
    for i, j in itertools.permutations(range(len(mos)), 2):
        z = abs(mos[i] - mos[j]) / math.sqrt(errors[i] ** 2 + errors[j] ** 2)
        sizes.append(abs(predicted[i] - predicted[j]))
        kinds.append(z > 1.959964)
        if kinds[-1]:
            signed.append(predicted[i] - predicted[j])
            better.append(mos[i] > mos[j])
    return (
        roc_auc_score(kinds, sizes),
        roc_auc_score(better, signed),
        sum(kinds) // 2,
        kinds.count(False) // 2,
    )


def test_by_hand():
    """MOS 1, 1.1, 3, 3.2 with errors 0.3: the difference is significant above 1.96 * 0.424 = 0.83.

    Different are 02, 03, 12, 13, similar 01 and 23. Differences of the predictions 0, 2, 1, 4 are
    1, 4, -1, 2 in the direction of the better image, and 2 and 3 in the similar pairs. Of sizes 1, 4, 1, 2
    against 2 and 3, 4 wins twice and 2 ties once: 2.5 of 8. Of 1, 4, -1, 2 against -1, -4, 1, -2: 1 wins
    three times and ties once, 4 and 2 win four times, -1 twice and ties once: 3.5 + 4 + 2.5 + 4 of 16.
    """
    result = pair_analysis([0, 2, 1, 4], [1, 1.1, 3, 3.2], [0.3] * 4)
    assert (result.different, result.similar, result.remark) == (4, 2, "")
    assert result.different_similar == pytest.approx(2.5 / 8)
    assert result.better_worse == pytest.approx(14 / 16)


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_scikit_learn_agrees(levels):
    generator = np.random.default_rng(levels)
    for _ in range(5):
        data = ratings(25, generator, levels)
        result = pair_analysis(*data)
        ours = (result.different_similar, result.better_worse, result.different, result.similar)
        assert ours == pytest.approx(by_pairs(*data), rel=1e-12)


def test_both_orders_count():
    """With each pair in one order only, differences in the direction of the better image have no contrary."""
    mos = np.arange(8.0)
    assert pair_analysis(mos, mos, [0.1] * 8).better_worse == 1
    assert pair_analysis(-mos, mos, [0.1] * 8).better_worse == 0
    data = ratings(30, np.random.default_rng(0))
    plain, turned = pair_analysis(*data), pair_analysis(-data[0], *data[1:])
    assert turned.better_worse == pytest.approx(1 - plain.better_worse)
    assert turned.different_similar == plain.different_similar


def test_order_of_images_does_not_matter():
    data = ratings(40, np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(40)
    assert pair_analysis(*(values[order] for values in data)) == pair_analysis(*data)


def test_constant_predictions_guess():
    _, mos, errors = ratings(20, np.random.default_rng(3))
    result = pair_analysis([0.1] * 20, mos, errors)
    assert (result.different_similar, result.better_worse) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("mos", "errors", "counts", "better_worse", "remark"),
    [
        ([1, 2, 3], [9, 9, 9], (0, 3), math.nan, "no two images differ in quality"),
        ([1, 1, 1], [0, 0, 0], (0, 3), math.nan, "no two images differ in quality"),
        ([1, 2, 3], [0, 0, 0], (3, 0), 1.0, "no two images are similar in quality"),
        ([1], [1], (0, 0), math.nan, "fewer than two images"),
        ([], [], (0, 0), math.nan, "fewer than two images"),
    ],
)
def test_one_kind_of_pair_alone(mos, errors, counts, better_worse, remark):
    result = pair_analysis(mos, mos, errors)
    assert math.isnan(result.different_similar)
    assert result.better_worse == pytest.approx(better_worse, nan_ok=True)
    assert (result.different, result.similar) == counts
    assert result.remark == remark


def test_threshold():
    """1.96 standard errors of the difference, which are 5 for errors of 3 and 4."""
    for difference, different in ((9.79, 0), (9.81, 1)):
        assert pair_analysis([0, 1], [0, difference], [3, 4]).different == different


def test_many_images():
    """A sample of the pairs gives what all give, within its own error; the seed alone decides it."""
    data = ratings(1500, np.random.default_rng(4))
    every = pair_analysis(*data)
    assert every.different + every.similar == 1500 * 1499 // 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_PAIRS", 100_000)
        sample = pair_analysis(*data)
        assert pair_analysis(*data) == sample
        assert pair_analysis(*data, seed=1) != sample
        first, second = module._pairs(1500, 0)
    assert sample.different + sample.similar == 100_000
    assert (first != second).all()
    # Four standard errors of the sampling, by the bound that is documented.
    bound = 4 * 0.5 / math.sqrt(min(sample.different, sample.similar))
    assert sample.different_similar == pytest.approx(every.different_similar, abs=bound)
    assert sample.better_worse == pytest.approx(every.better_worse, abs=bound)
    share = every.different / (1500 * 1499 // 2)
    assert sample.different / 100_000 == pytest.approx(share, abs=0.01)


def test_bad_arguments():
    three = [1, 2, 3]
    with pytest.raises(InputError, match="standard errors has nan at position 1"):
        pair_analysis(three, three, [1, math.nan, 1])
    with pytest.raises(InputError, match="position 2 is negative: -1"):
        pair_analysis(three, three, [1, 0, -1])
    with pytest.raises(InputError, match="2 standard errors for 3 images"):
        pair_analysis(three, three, [1, 1])
    with pytest.raises(InputError, match="prediction has inf at position 0"):
        pair_analysis([math.inf, 2, 3], three, three)
