"""A readout of the backbone's features, fitted to ratings, which labels views that nobody rated.

The whole network would memorise a few hundred ratings. The mean of a ridge regression on the trunk's
statistics and a support vector regression on the image features predicts new photographs well from them. The
metric learns these predictions on the views of the corpus, beside the ratings themselves.
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
        view: (N, global), the trunk's statistics, averaged over the views of each photograph.
        features: (N, D), the backbone's image features, averaged likewise.
        quality: (N,) in [0, 1].
    """

    def __init__(self, view: np.ndarray, features: np.ndarray, quality: np.ndarray) -> None:
        deviation = float(quality.std())
        self._ridge = make_pipeline(StandardScaler(), RidgeCV(_ALPHAS)).fit(view, quality)
        regression = SVR(C=_SVR_COST * deviation, epsilon=_SVR_MARGIN * deviation)
        self._svr = make_pipeline(StandardScaler(), regression).fit(features, quality)

    def predict(self, view: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Quality (N,), strictly inside [0, 1], from statistics (N, global) and features (N, D)."""
        parts: Sequence[tuple[Pipeline, np.ndarray]] = ((self._ridge, view), (self._svr, features))
        mean = sum(regression.predict(inputs) for regression, inputs in parts) / len(parts)
        return np.asarray(mean, np.float32).clip(*_ENDS)
