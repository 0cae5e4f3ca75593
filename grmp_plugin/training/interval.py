"""How far predicted MOS is off, from the errors on shots that were left out."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PredictionInterval:
    """A symmetric interval around a predicted MOS.

    Attributes:
        level: Share of new images whose MOS it should hold.
        half_width: Half its width, in units of the ratings.
    """

    level: float
    half_width: float


LEVEL = 0.9


def prediction_interval(errors: np.ndarray) -> PredictionInterval | None:
    """The interval from the errors (S,) of predictions of shots by fits to other shots.

    Split-conformal prediction with cross-validated errors: "Predictive inference with the jackknife+",
    arXiv:1905.02928. It holds for images drawn as the shots were.

    Returns:
        None for fewer than nine shots, of which no error is large enough for the level.
    """
    rank = math.ceil(LEVEL * (len(errors) + 1))
    if rank > len(errors):
        return None
    return PredictionInterval(LEVEL, float(np.sort(np.abs(errors))[rank - 1]))
