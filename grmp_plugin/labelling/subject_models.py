"""Mean opinion scores by published subject models, computed by the package sureal.

Sources: ITU-R BT.500-14, A1-2.3.1 (screening of observers by kurtosis); ITU-T P.913, 12.4 (removal of
subjects' biases); ITU-T P.910, Annex E (biases and inconsistencies by maximum likelihood).
"""

import contextlib
import io
import warnings
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """What a model says of J images and I raters.

    Attributes:
        mos: (J,).
        error: (J,) standard errors.
        bias: (I,) how much higher a rater rates than the others.
        inconsistency: (I,) standard deviation of a rater's ratings around MOS and bias; nan where the model
            has none.
    """

    mos: np.ndarray
    error: np.ndarray
    bias: np.ndarray
    inconsistency: np.ndarray


def without_bias(ratings: np.ndarray) -> Estimate:
    """Mean of ratings (J, I) less each rater's bias; nan where there is no rating."""
    from sureal.subjective_model import BiasremvMosModel

    found = _run(BiasremvMosModel, ratings)
    bias = np.array(found["observer_bias"])
    nothing = np.full(ratings.shape[1], np.nan)
    return Estimate(np.array(found["quality_scores"]), np.array(found["quality_scores_std"]), bias, nothing)


def by_likelihood(ratings: np.ndarray) -> Estimate:
    """MOS weighted by the raters' consistency, from ratings (J, I); nan where there is no rating."""
    from sureal import P910AnnexEModel

    found = _run(P910AnnexEModel, ratings)
    names = ("quality_scores", "quality_scores_std", "observer_bias", "observer_inconsistency")
    return Estimate(*(np.array(found[name]) for name in names))


def screened_by_kurtosis(ratings: np.ndarray) -> np.ndarray:
    """Which raters BT.500 rejects, (I,) bool, from ratings (J, I); nan where there is no rating."""
    from sureal import BT500Model

    return np.array(_run(BT500Model, ratings)["observer_rejected"], bool)


def _run(model: Any, ratings: np.ndarray) -> dict[str, Any]:
    from sureal.dataset_reader import RawDatasetReader

    numbers = range(len(ratings))
    data = SimpleNamespace(
        ref_videos=[{"content_id": number, "path": ""} for number in numbers],
        dis_videos=[
            {"content_id": number, "asset_id": number, "path": "", "os": ratings[number].tolist()}
            for number in numbers
        ],
    )
    # It prints every iteration, and divides by zero where a rater is never far off.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result: dict[str, Any] = model(RawDatasetReader(data)).run_modeling()
        return result
