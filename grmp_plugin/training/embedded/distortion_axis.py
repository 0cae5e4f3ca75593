"""How distorted a photograph looks, as one direction in the trunk's statistics; no rating is used.

With C the covariance of the statistics over photographs as they are, and d the mean of their changes by
distortion, the direction is -(C + s mean(C) I)^-1 d: Fisher's discriminant between distorted and undistorted,
with a covariance shrunk towards a multiple of the identity, as few of its thousands of eigenvalues are known.
"""

from typing import NamedTuple

import numpy as np


class Regression(NamedTuple):
    """Quality as a linear function of standardised statistics, with mean 0 and standard deviation 1.

    Attributes:
        weight: (G,).
        bias: A number.
    """

    weight: np.ndarray
    bias: float


def distortion_axis(versions: np.ndarray, shrinkage: float) -> Regression:
    """The direction, scaled to standard deviation 1 over all versions; undistorted is high.

    Args:
        versions: (P, Q, G), standardised statistics of Q versions of P photographs; the first is undistorted.
        shrinkage: s.
    """
    plain = (versions[:, 0] - versions[:, 0].mean(0)).astype(np.float64)
    change = (versions[:, 1:] - versions[:, :1]).astype(np.float64).mean((0, 1))
    covariance = plain.T @ plain / len(plain)
    covariance[np.diag_indices_from(covariance)] += shrinkage * np.trace(covariance) / len(covariance)
    weight = -np.linalg.solve(covariance, change)
    values = versions @ weight
    return Regression(weight / values.std(), -float(values.mean() / values.std()))
