"""Judge metrics side by side: on the same images, against people's ratings and against each other."""

from dataclasses import dataclass

from grmp_plugin.evaluation.comparison import Array

_CURVE_POINTS = 100


@dataclass(frozen=True, eq=False)
class People:
    """What people said of the N images.

    Attributes:
        mos: (N,) mean opinion scores.
        lower_better: whether a low one is a good one.
        groups: N references, where images share them; resampled as wholes.
        errors: (N,) standard errors of the MOS; None where they are not known.
    """

    mos: Array
    lower_better: bool = False
    groups: tuple[str, ...] | None = None
    errors: Array | None = None
