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
from grmp_plugin.training.embedded.corpus import Corpus, corpus_statistics
from grmp_plugin.training.embedded.settings import PriorSettings


def with_prior(checkpoint: Checkpoint, corpus: Corpus, settings: PriorSettings) -> Checkpoint:
    """The checkpoint with the prior of a head on its trunk's statistics.

    Args:
        checkpoint: A network with a convolutional trunk.
        corpus: Distorted versions of photographs; the first of each is the photograph as it is.
        settings: How much of the covariances is kept.
    """
    versions = corpus_statistics(checkpoint, corpus)
    prior = torch.from_numpy(_directions(versions, settings)).float()
    return dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, "head_prior": prior})


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
