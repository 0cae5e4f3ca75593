"""A simulated observer: a panel of people with one taste, which differs from full-reference similarity.

It stands in for ratings where none can be had. Its taste is fixed and was set down before any adaptation
to it was measured: it minds faults of colour and of tone most, then blur; it forgives noise, which it
takes for film grain; it even likes a little sharpening and a little more colour. Like people it has
favourite pictures, and its single ratings are whole grades that scatter.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from grmp_plugin.synthetic.distortions import DISTORTIONS

GRADES = (1.0, 5.0)
"""The scale of its ratings: five grades, 5 = excellent, as in ITU-R BT.500."""

# How far quality, from 0 to 1, falls at level 5; in proportion at the levels below.
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
# Levels 1 and 2 of these raise quality by this much instead.
_LIKED = MappingProxyType({"over_sharpening": 0.06, "saturation_increase": 0.06})


@dataclass(frozen=True)
class Observer:
    """A panel of raters with one taste.

    Attributes:
        annoyance: loss of quality at level 5, by family of distortion.
        liked: gain of quality at levels 1 and 2, by kind of distortion.
        pristine: quality of an undistorted picture that nobody prefers.
        favour: standard deviation, over pictures, of how much a picture is liked for what it shows.
        scatter: standard deviation of one rater's quality around the panel's.
        raters: ratings that make one MOS.
        seed: of favours and scatter.
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
            picture: name of the picture, which decides how it is liked.
            distortion: kind of distortion, or None for the pristine version.
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
