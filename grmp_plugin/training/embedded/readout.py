"""A readout of the backbone's features, fitted to ratings: it labels views that nobody rated.

A few hundred ratings are too few for the whole network, which memorises them. They suffice for a ridge
regression on the trunk's statistics and a support vector regression on the image features, whose mean
predicts new photographs well. The metric learns what it says of the corpus' views, beside the ratings.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

_ALPHAS = np.logspace(0, 6, 13)
_SVR_COST, _SVR_MARGIN = 10.0, 0.15  # in standard deviations of the quality
# A probability of exactly 0 or 1 would be an infinite logit.
_ENDS = (0.02, 0.98)


class Readout:
    """Mean of two regressions.

    Args:
        view: (N, global), the trunk's statistics, averaged over each photograph's views.
        features: (N, D), the backbone's image features, averaged alike.
        quality: (N,) in [0, 1].
    """

    def __init__(self, view: np.ndarray, features: np.ndarray, quality: np.ndarray) -> None:
        deviation = float(quality.std())
        self._ridge = make_pipeline(StandardScaler(), RidgeCV(_ALPHAS)).fit(view, quality)
        regression = SVR(C=_SVR_COST * deviation, epsilon=_SVR_MARGIN * deviation)
        self._svr = make_pipeline(StandardScaler(), regression).fit(features, quality)

    def predict(self, view: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Quality (N,), a little inside of [0, 1], of statistics (N, global) and features (N, D)."""
        parts: Sequence[tuple[Pipeline, np.ndarray]] = ((self._ridge, view), (self._svr, features))
        mean = sum(regression.predict(inputs) for regression, inputs in parts) / len(parts)
        return np.asarray(mean, np.float32).clip(*_ENDS)
