"""The prior of a linear head, from distorted photographs."""

import numpy as np
import pytest
import scipy.linalg
import torch

from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.training.embedded.corpus import Corpus
from grmp_plugin.training.embedded.prior import with_prior
from grmp_plugin.training.embedded.settings import PriorSettings

PHOTOGRAPHS, VERSIONS, VIEWS = 30, 4, 2


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


def test_prior_is_the_distortions_in_units_of_the_contents(checkpoint, corpus):
    found = GRMPIQA(with_prior(checkpoint, corpus, PriorSettings(rank=10_000, shrinkage=0.5))).head_prior
    trunk = GRMPIQA(checkpoint).clip.visual.conv1
    with torch.no_grad():
        seen = trunk.standardized_view(torch.from_numpy(corpus.view).float())
    expected = expected_covariance(seen.mean(2).numpy(), 0.5)
    product = (found @ found.T).double().numpy()
    np.testing.assert_allclose(product / np.trace(product), expected / np.trace(expected), rtol=0, atol=1e-6)
    assert found.abs().max() == 1


def test_largest_directions_are_kept(checkpoint, corpus):
    whole = GRMPIQA(with_prior(checkpoint, corpus, PriorSettings(rank=10_000))).head_prior
    few = GRMPIQA(with_prior(checkpoint, corpus, PriorSettings(rank=3))).head_prior
    assert few.shape[1] == 3
    lengths = whole.norm(dim=0)
    torch.testing.assert_close(few.norm(dim=0) / few.norm(), lengths[-3:] / lengths[-3:].norm())
    assert (lengths.diff() >= -1e-6).all()


def test_scores_do_not_change(checkpoint, corpus):
    images = torch.rand(2, 3, 40, 60)
    with_one = GRMPIQA(with_prior(checkpoint, corpus, PriorSettings()))
    assert torch.equal(with_one(images), GRMPIQA(checkpoint)(images))
