"""Baselines that fit scikit-learn's regression to what a linear head reads."""

from collections.abc import Sequence

import numpy as np

from grmp_plugin.network.head import HeadInputs

_PENALTIES = np.logspace(-2, 5, 29)
_SVR_GRID = {"svr__C": [0.01, 0.1, 1.0, 10.0], "svr__epsilon": [0.02, 0.1]}


def fit_predict(
    method: str, shots: HeadInputs, quality: np.ndarray, parts: Sequence[np.ndarray], test: HeadInputs
) -> np.ndarray:
    """Predicted quality (T,) of test images; not limited to [0, 1].

    Args:
        method: `svr` (radial basis functions on logit, features and statistics; constants chosen by
            cross-validation inside the shots) or `probe` (ridge regression on the image features; penalty
            chosen by leave-one-out).
        shots: What a head reads of S shots.
        quality: (S,) in [0, 1].
        parts: Numbers of the shots of each part of the cross-validation.
        test: The same of T images.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    if method == "probe":
        probe = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES)).fit(shots.features.numpy(), quality)
        found: np.ndarray = probe.predict(test.features.numpy())
        return found
    folds = [(np.setdiff1d(np.arange(len(quality)), part), part) for part in parts]
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SVR()), _SVR_GRID, cv=folds, scoring="neg_mean_squared_error"
    )
    search.fit(_all(shots), quality)
    predicted: np.ndarray = search.predict(_all(test))
    return predicted


def _all(inputs: HeadInputs) -> np.ndarray:
    blocks = [inputs.logit[:, None], inputs.features]
    if inputs.statistics is not None:
        blocks.append(inputs.statistics)
    return np.hstack([block.numpy() for block in blocks])
