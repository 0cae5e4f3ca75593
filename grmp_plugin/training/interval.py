"""How far predicted MOS is off, from the errors on shots that were left out."""

import math
from dataclasses import dataclass

import numpy as np

from grmp_plugin.errors import ConfigError


@dataclass(frozen=True)
class PredictionInterval:
    """A symmetric interval around a predicted MOS.

    Attributes:
        level: Share of new images whose MOS it should hold.
        half_width: Half its width, in units of the ratings.

    Raises:
        ConfigError: When the level is no share, or the width is negative or not finite.
    """

    level: float
    half_width: float

    def __post_init__(self) -> None:
        """Reject values that are no interval."""
        if not 0 < self.level < 1:
            raise ConfigError(f"level: must be between 0 and 1, not {self.level}")
        if not (self.half_width >= 0 and math.isfinite(self.half_width)):
            raise ConfigError(f"half_width: must be 0 or larger, and finite, not {self.half_width}")


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
