"""The direction of distortion in the trunk's statistics: a score without ratings."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from grmp_plugin.statistics.correlation import srcc
from grmp_plugin.training.embedded.distortion_axis import distortion_axis

PHOTOGRAPHS, VERSIONS, FEATURES = 400, 3, 12


@pytest.fixture(scope="module")
def versions():
    """(P, Q, G): contents vary most along the first features; distortion moves all by its level."""
    rng = np.random.default_rng(0)
    contents = rng.normal(size=(PHOTOGRAPHS, 1, FEATURES)) * np.linspace(12, 0.3, FEATURES)
    level = np.concatenate([np.zeros((PHOTOGRAPHS, 1)), rng.uniform(0.5, 2, (PHOTOGRAPHS, VERSIONS - 1))], 1)
    direction = np.ones(FEATURES)
    return contents + level[..., None] * direction, level


def test_contents_do_not_hide_the_distortion(versions):
    features, level = versions
    axis = distortion_axis(features.astype(np.float32), shrinkage=1e-6)
    score = features @ axis.weight + axis.bias
    assert srcc(score.ravel(), -level.ravel()) > 0.9
    # The plain mean change, which contents drown.
    assert srcc(-features.sum(-1).ravel(), -level.ravel()) < 0.6
    assert abs(score.mean()) < 1e-4
    assert abs(score.std() - 1) < 1e-4
    assert score[:, 0].mean() > score[:, 1:].mean()


def test_is_fishers_discriminant_of_the_contents(versions):
    """Between photographs and the same photographs moved by the mean change, as scikit-learn computes it."""
    features, _ = versions
    axis = distortion_axis(features, shrinkage=0.0)
    plain = features[:, 0]
    moved = plain + (features[:, 1:] - features[:, :1]).mean((0, 1))
    fisher = LinearDiscriminantAnalysis(solver="lsqr").fit(
        np.concatenate([moved, plain]), np.repeat([0, 1], PHOTOGRAPHS)
    )
    expected = fisher.coef_[0]
    cosine = axis.weight @ expected / np.linalg.norm(axis.weight) / np.linalg.norm(expected)
    assert cosine == pytest.approx(1, abs=1e-9)


def test_shrunk_far_it_is_the_mean_change(versions):
    features, _ = versions
    axis = distortion_axis(features, shrinkage=1e9)
    change = (features[:, 1:] - features[:, :1]).mean((0, 1))
    cosine = axis.weight @ change / np.linalg.norm(axis.weight) / np.linalg.norm(change)
    assert cosine == pytest.approx(-1, abs=1e-6)
