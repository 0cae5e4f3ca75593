"""The prior of a linear head, from distorted photographs."""

import numpy as np
import pytest
import scipy.linalg
import torch

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.training.embedded import prior
from grmp_plugin.training.embedded.corpus import Corpus
from grmp_plugin.training.embedded.settings import PriorSettings

PHOTOGRAPHS, VERSIONS, VIEWS = 30, 4, 2
FEATURES = 60


@pytest.fixture(scope="module")
def checkpoint(small_checkpoint):
    return small_checkpoint("trunk", "crops")


@pytest.fixture(scope="module")
def corpus(checkpoint):
    """Random statistics, in which a photograph's versions are alike."""
    rng = np.random.default_rng(0)
    network = GRMPIQA(checkpoint)
    with torch.no_grad():
        seen = network.clip.visual.conv1.net.statistics(torch.rand(1, 3, 32, 32))

    def made(size):
        photographs = rng.normal(size=(PHOTOGRAPHS, 1, 1, *size))
        return (photographs + 0.3 * rng.normal(size=(PHOTOGRAPHS, VERSIONS, VIEWS, *size))).astype(np.float16)

    nothing = np.zeros((PHOTOGRAPHS, VERSIONS))
    return Corpus(
        cells=made(seen.cells.shape[1:]),
        view=made(seen.view.shape[1:]),
        appearance=nothing,
        quality=nothing,
        kinds=nothing,
        levels=nothing,
        classes=nothing,
    )


def expected_covariance(features, shrinkage):
    """C^-1/2 D C^-1/2 by scipy, from features (P, Q, D)."""
    features = features.astype(np.float64)
    contents = np.cov(features[:, 0].T, bias=True)
    contents += shrinkage * np.trace(contents) / len(contents) * np.eye(len(contents))
    changes = (features[:, 1:] - features[:, :1]).reshape(-1, features.shape[-1])
    root = scipy.linalg.inv(scipy.linalg.sqrtm(contents))
    return root @ (changes.T @ changes / len(changes)) @ root


@pytest.fixture(scope="module")
def features():
    """(P, Q, D) of fewer features than a trunk has, which would take a minute."""
    rng = np.random.default_rng(1)
    photographs = rng.normal(size=(PHOTOGRAPHS, 1, FEATURES)) * np.linspace(0.2, 3, FEATURES)
    return (photographs + 0.3 * rng.normal(size=(PHOTOGRAPHS, VERSIONS, FEATURES))).astype(np.float32)


def test_prior_is_the_distortions_in_units_of_the_contents(features):
    found = prior._directions(features, PriorSettings(rank=10_000, shrinkage=0.5))
    expected = expected_covariance(features, 0.5)
    product = found @ found.T
    np.testing.assert_allclose(product / np.trace(product), expected / np.trace(expected), rtol=0, atol=1e-6)
    assert np.abs(found).max() == 1


def test_largest_directions_are_kept(features):
    whole = prior._directions(features, PriorSettings(rank=10_000))
    few = prior._directions(features, PriorSettings(rank=3))
    assert few.shape == (FEATURES, 3)
    lengths = np.linalg.norm(whole, axis=0)
    kept = lengths[-3:] / np.linalg.norm(lengths[-3:])
    np.testing.assert_allclose(np.linalg.norm(few, axis=0) / np.linalg.norm(few), kept, rtol=1e-9)
    assert (np.diff(lengths) >= -1e-6).all()


def test_of_standardised_statistics_beside_the_network(checkpoint, corpus, monkeypatch):
    """What the prior is made from, where it is kept, and that scores are as before."""
    given = []

    def directions(features, settings):
        given.append((features, settings))
        return np.linspace(-1, 1, 2 * features.shape[-1]).reshape(-1, 2)

    monkeypatch.setattr(prior, "_directions", directions)
    network, plain = GRMPIQA(prior.with_prior(checkpoint, corpus, PriorSettings(rank=2))), GRMPIQA(checkpoint)
    with torch.no_grad():
        seen = plain.clip.visual.conv1.standardized_view(torch.from_numpy(corpus.view).float())
    ((features, settings),) = given
    np.testing.assert_allclose(features, seen.mean(2).numpy(), rtol=0, atol=1e-6)
    assert settings == PriorSettings(rank=2)
    np.testing.assert_allclose(network.head_prior, directions(features, settings), rtol=0, atol=1e-6)
    images = torch.rand(2, 3, 40, 60)
    assert torch.equal(network(images), plain(images))
