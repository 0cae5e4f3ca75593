"""Rated images and the scale of their ratings."""

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from grmp_plugin.data.ratings_numbers import LARGEST
from grmp_plugin.errors import ConfigError, InputError
from grmp_plugin.plain_data import shown

DECLARED = "declared"
KNOWN_RANGE = "known range of the data set"
SHOTS_RANGE = "the shots' min and max"


def range_ends(mos_range: object) -> tuple[float, float]:
    """The two ends of a rating scale that a caller declared.

    Raises:
        InputError: When it is not two finite numbers, the lower one first.
    """
    ends = list(mos_range) if isinstance(mos_range, Iterable) else []
    if len(ends) != 2 or not all(isinstance(end, Real) for end in ends):
        raise InputError(
            f"must be a low and a high number, such as (1, 5), not {shown(mos_range)}", argument="mos_range"
        )
    low, high = float(ends[0]), float(ends[1])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"must be a low, then a high number, not {low:g} and {high:g}", argument="mos_range")
    return low, high


@dataclass(frozen=True)
class MosScale:
    """The scale of the ratings, and which end of it is good.

    Attributes:
        low: Lower end.
        high: Upper end.
        lower_better: Whether a low rating means good quality, as for DMOS in LIVE and CSIQ.
        source: Origin of the ends: DECLARED, KNOWN_RANGE or SHOTS_RANGE.

    Raises:
        ConfigError: Unless low < high, both finite.
    """

    low: float
    high: float
    lower_better: bool = False
    source: str = DECLARED

    def __post_init__(self) -> None:
        """Reject values that are no range."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"a MOS scale goes from low to high, not from {self.low} to {self.high}")
        if max(abs(self.low), abs(self.high)) > LARGEST or self.high - self.low < 1 / LARGEST:
            raise ConfigError(
                f"a MOS scale from {self.low} to {self.high} cannot be computed with: use ratings within "
                f"{LARGEST:g} of 0, at least {1 / LARGEST:g} apart"
            )

    def to_quality(self, mos: np.ndarray) -> np.ndarray:
        """Map ratings linearly, the worst to 0 and the best to 1; ratings beyond the ends are not clipped.

        Args:
            mos: Ratings, any shape.

        Returns:
            Qualities of the same shape, float64, higher is better.
        """
        position = (np.asarray(mos, np.float64) - self.low) / (self.high - self.low)
        return 1 - position if self.lower_better else position

    def to_mos(self, quality: np.ndarray | float) -> np.ndarray:
        """Map qualities back to ratings: the inverse of `to_quality`.

        Args:
            quality: Any shape, 0 = worst, 1 = best.

        Returns:
            Ratings of the same shape, float64.
        """
        quality = np.asarray(quality, np.float64)
        position = 1 - quality if self.lower_better else quality
        return self.low + position * (self.high - self.low)


@dataclass(frozen=True)
class BadRow:
    """A row that is not used, and why.

    Attributes:
        row: Line number in the file as an editor counts, the header is usually 1; None without a file.
        image: Image name as in the file.
        reason: Why the row is not used.
        repeated: Whether the row is correct and only repeats another one.
    """

    row: int | None
    image: str
    reason: str
    repeated: bool = False


@dataclass(frozen=True, eq=False)
class Ratings:
    """N rated images.

    Attributes:
        source: File or data set, for messages.
        images: N paths.
        mos: (N,) float64, as in the file.
        references: Pristine reference of each image; images with the same one must be on the same side of a
            split. None where images are independent.
        lower_better: Whether a low rating means good quality.
        mos_range: Ends of the scale, if declared or known.
        range_source: Origin of `mos_range`: DECLARED or KNOWN_RANGE.
        references_source: Origin of `references`, for messages; empty if there are none.
        reference_names: N names of references as in the file's column; None without a column.
        deviations: (N,) standard deviations of the single ratings behind each MOS; None if unknown.
        raters: (N,) numbers of ratings behind each MOS; None if unknown.
        splits: Columns whose name contains "split"; N values each, usually train, val or test.
        skipped: Rows that are not used: bad ones, and repetitions of an image with the same rating.
        adjustable: Names of the arguments with which the same ratings can be read in another way, such as
            `mos_range`; none for ratings whose columns, scale and direction are known.
    """

    source: str
    images: tuple[str, ...]
    mos: np.ndarray
    references: tuple[str, ...] | None = None
    lower_better: bool = False
    mos_range: tuple[float, float] | None = None
    range_source: str = DECLARED
    references_source: str = ""
    reference_names: tuple[str, ...] | None = None
    deviations: np.ndarray | None = None
    raters: np.ndarray | None = None
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[BadRow, ...] = ()
    adjustable: frozenset[str] = frozenset()

    def hints(self, *arguments: str) -> tuple[str, ...]:
        """Those of some arguments that can be given for these ratings: what a message may advise."""
        return tuple(name for name in arguments if name in self.adjustable)

    def scale(self, shots: np.ndarray) -> MosScale:
        """The scale of the ratings: declared, else known, else from the lowest to the highest shot.

        Args:
            shots: Indices of the images whose ratings may be used.

        Raises:
            InputError: When the shots would determine the scale and all have the same MOS, or numbers that
                cannot be computed with.
        """
        low, high = self.mos_range or (float(self.mos[shots].min()), float(self.mos[shots].max()))
        if low == high:
            raise InputError(
                f"{self.source}: all shots have MOS {low}, which does not determine the scale",
                see=(*self.hints("mos_range"), "seed"),
            )
        source = SHOTS_RANGE if self.mos_range is None else self.range_source
        try:
            return MosScale(low, high, self.lower_better, source)
        except ConfigError as error:
            raise InputError(f"{self.source}: {error.message}", see=self.hints("mos_range")) from error

    def digest(self) -> str:
        """SHA-256 of names, ratings, references, range and direction, which identifies them in a run."""
        content = hashlib.sha256(f"{self.mos_range} {self.lower_better}\n".encode())
        references = self.references or ("",) * len(self.images)
        for row in zip(self.images, self.mos.tolist(), references, strict=True):
            content.update(f"{row!r}\n".encode(errors="surrogateescape"))
        return content.hexdigest()

    def subset(self, index: np.ndarray) -> "Ratings":
        """Some of the images, in the order of the index.

        Args:
            index: Integer indices, or N booleans.
        """
        kept = np.arange(len(self.images))[index]

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in kept)

        return dataclasses.replace(
            self,
            images=pick(self.images),
            mos=self.mos[kept],
            references=None if self.references is None else pick(self.references),
            reference_names=None if self.reference_names is None else pick(self.reference_names),
            deviations=None if self.deviations is None else self.deviations[kept],
            raters=None if self.raters is None else self.raters[kept],
            splits={name: pick(values) for name, values in self.splits.items()},
        )
