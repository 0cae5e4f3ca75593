"""Pictures whose ratings make ridge regression most certain.

Source: sequential transductive experimental design of Yu, Bi and Tresp, "Active Learning via Transductive
Experimental Design", ICML 2006. The posterior covariance C of the predictions for all pictures depends on
which pictures are rated, and on the ratings through the penalty that they need. Picture x lowers the sum of
the variances by |C[:, x]|^2 / (C[x, x] + penalty); the one that lowers it most is chosen next. To choose
where the variance itself is largest (D-optimal) takes the oddest pictures, and did worse than chance.
"""

from collections.abc import Sequence

import numpy as np


def least_variance(design: np.ndarray, count: int, taken: Sequence[int], penalty: float) -> list[int]:
    """Choose pictures one by one, each where it lowers the mean posterior variance of all most.

    Args:
        design: (N, R) what ridge regression reads of N pictures, in units of equal penalty.
        count: How many to choose, at most N less those taken.
        taken: Indices of pictures that were chosen before.
        penalty: The penalty of ridge regression, which is the variance of a rating's error.

    Returns:
        Indices of the pictures, in the order in which they were chosen.
    """
    vectors = np.asarray(design, np.float64)
    left = np.eye(vectors.shape[1])  # posterior covariance of the weights
    spread = vectors.T @ vectors
    variance = (vectors**2).sum(axis=1)  # C[x, x]
    reach = ((vectors @ spread) * vectors).sum(axis=1)  # |C[:, x]|^2
    free = np.ones(len(vectors), bool)
    chosen: list[int] = []

    def learn(picture: int) -> None:
        nonlocal left, variance, reach
        weights = left @ vectors[picture]
        column = vectors @ weights  # C[:, picture]
        step = 1 / (column[picture] + penalty)
        further = vectors @ (left @ (spread @ weights))
        variance = variance - step * column**2
        reach = reach - 2 * step * column * further + step**2 * column**2 * (weights @ spread @ weights)
        left = left - step * np.outer(weights, weights)
        free[picture] = False

    for picture in dict.fromkeys(taken):
        learn(picture)
    while len(chosen) < count:
        gain = np.maximum(reach, 0) / (np.maximum(variance, 0) + penalty)
        chosen.append(int(np.argmax(np.where(free, gain, -1))))
        learn(chosen[-1])
    return chosen
