"""A simulated observer: a panel of raters with a taste of its own, unlike full-reference similarity.

It replaces human ratings where none are available. Its taste is fixed and was defined before any adaptation
to it was measured: colour and tone faults annoy it most, then blur; it tolerates noise, as if it were film
grain; and it likes slight sharpening and slightly stronger colours. Like people, it prefers some pictures to
others, and its single ratings are whole grades with scatter.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from grmp_plugin.synthetic.distortions import DISTORTIONS

GRADES = (1.0, 5.0)
"""Its rating scale: five grades, 5 = excellent, as in ITU-R BT.500."""

# Loss of quality, on a scale from 0 to 1, at level 5; proportionally less at lower levels.
_ANNOYANCE = MappingProxyType(
    {
        "blur": 0.72,
        "noise": 0.28,
        "compression": 0.55,
        "tone": 0.76,
        "colour": 0.85,
        "spatial": 0.50,
        "sharpness": 0.45,
    }
)
# Levels 1 and 2 of these kinds raise quality instead.
_LIKED = MappingProxyType({"over_sharpening": 0.06, "saturation_increase": 0.06})


@dataclass(frozen=True)
class Observer:
    """A panel of raters with one taste.

    Attributes:
        annoyance: Loss of quality at level 5, by family of distortion.
        liked: Gain of quality at levels 1 and 2, by kind of distortion.
        pristine: Mean quality of undistorted pictures.
        favour: Standard deviation of the preference for a picture's content, over pictures.
        scatter: Standard deviation of one rater's opinion around the panel's.
        raters: Number of ratings per MOS.
        seed: Seed for preferences and scatter.
    """

    annoyance: Mapping[str, float] = field(default_factory=lambda: _ANNOYANCE)
    liked: Mapping[str, float] = field(default_factory=lambda: _LIKED)
    pristine: float = 0.84
    favour: float = 0.05
    scatter: float = 0.12
    raters: int = 15
    seed: int = 0

    def mos(self, picture: str, distortion: str | None, level: int) -> float:
        """Mean opinion score of one version of a picture.

        Args:
            picture: Name of the picture, which determines the preference for it.
            distortion: Kind of distortion, or None for the pristine version.
            level: 1 to 5; ignored for the pristine version.

        Returns:
            1 to 5, higher is better; the same arguments give the same number.
        """
        quality = self.pristine + self.favour * self._rng(picture).standard_normal()
        if distortion is not None:
            if level <= 2 and distortion in self.liked:
                quality += self.liked[distortion]
            else:
                quality -= self.annoyance[DISTORTIONS[distortion].family] * level / 5
        rng = self._rng(f"{picture} {distortion} {level}")
        opinions = quality + self.scatter * rng.standard_normal(self.raters)
        low, high = GRADES
        return float(np.clip(np.round(low + (high - low) * opinions), low, high).mean())

    def _rng(self, what: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(what.encode())])
