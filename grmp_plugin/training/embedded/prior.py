"""The prior of a linear head: where distortions of photographs move the features, and contents do not.

Few ratings cannot tell which of thousands of features stand for quality. Distorted photographs can, without
any rating: with C the covariance of the features over photographs as they are, and D the mean of the squared
changes by distortion, the weights of ridge regression get the prior covariance C^-1/2 D C^-1/2, of which the
largest principal components are kept. C is shrunk towards a multiple of the identity.
"""

import dataclasses

import numpy as np
import torch

from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.towers import embed_statistics
from grmp_plugin.network.trunk import TrunkStatistics
from grmp_plugin.training.embedded.corpus import Corpus
from grmp_plugin.training.embedded.settings import PriorSettings

_BATCH = 256  # views


def with_prior(checkpoint: Checkpoint, corpus: Corpus, settings: PriorSettings) -> Checkpoint:
    """The checkpoint with the prior of a head on its image features and on its trunk's statistics.

    Args:
        checkpoint: A network with a convolutional trunk.
        corpus: Distorted versions of photographs; the first of each is the photograph as it is.
        settings: How much of the covariances is kept.
    """
    statistics, features = _of_versions(GRMPIQA(checkpoint), corpus)
    prior = {
        "prior.features": _directions(features, settings),
        "prior.statistics": _directions(statistics, settings),
    }
    tensors = {name: torch.from_numpy(value).float() for name, value in prior.items()}
    return dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, **tensors})


def _of_versions(network: GRMPIQA, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Statistics (P, Q, G) and image features (P, Q, D) of every version, means over its views."""
    visual = network.clip.visual
    shape = corpus.view.shape[:3]
    cells, view = (part.reshape(-1, *part.shape[3:]) for part in (corpus.cells, corpus.view))
    statistics, features = [], []
    with torch.inference_mode():
        for first in range(0, len(view), _BATCH):
            some = TrunkStatistics(
                *(torch.from_numpy(part[first : first + _BATCH]).float() for part in (cells, view))
            )
            statistics.append(visual.conv1.standardized_view(some.view))
            features.append(network.token_features(embed_statistics(visual, some)))
    of_versions = [torch.cat(each).unflatten(0, shape).mean(2).numpy() for each in (statistics, features)]
    return of_versions[0], of_versions[1]


def _directions(features: np.ndarray, settings: PriorSettings) -> np.ndarray:
    """A square root (D, rank) of the prior covariance of the weights, from features (P, Q, D)."""
    plain = features[:, 0] - features[:, 0].mean(0)
    changes = (features[:, 1:] - features[:, :1]).reshape(-1, features.shape[-1])
    values, vectors = np.linalg.eigh(_second_moment(plain))
    whitening = (vectors / np.sqrt(np.maximum(values, 0) + settings.shrinkage * values.mean())) @ vectors.T
    values, vectors = np.linalg.eigh(whitening @ _second_moment(changes) @ whitening)
    kept = slice(-settings.rank, None)
    directions: np.ndarray = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0))
    # Only directions and their relative lengths matter; half precision holds values near 1 best.
    directions /= np.abs(directions).max()
    return directions


def _second_moment(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.float64)
    result: np.ndarray = wide.T @ wide / len(wide)
    return result
