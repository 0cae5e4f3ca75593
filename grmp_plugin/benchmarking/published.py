"""Published numbers to stand beside one's own where data set and number of shots are the same.

They come from other splits. GRMP-IQA's code keeps the best epoch on the test images, which flatters.
"""

from dataclasses import dataclass

_ABSTRACT = "arXiv:2409.05381v1, abstract"
_QUOTED = "as quoted by 'Bridging the Perceptual Gap'"


@dataclass(frozen=True)
class Published:
    """One published result.

    Attributes:
        method: As it is called there.
        shots: `50`, or the share of the images that was learned from.
        data: pyiqa's names of the data set.
        srcc: SRCC.
        plcc: PLCC; None where it is not given.
        source: Where it is from.
    """

    method: str
    shots: str
    data: tuple[str, ...]
    srcc: float
    plcc: float | None
    source: str


_LIVEC = ("livec", "livec-1169")
_KONIQ = ("koniq10k", "koniq10k-1024")

PUBLISHED = (
    Published("GRMP-IQA", "50", _LIVEC, 0.836, None, _ABSTRACT),
    Published("next best", "50", _LIVEC, 0.760, None, _ABSTRACT),
    Published("GRMP-IQA", "50", _KONIQ, 0.853, None, _ABSTRACT),
    Published("next best", "50", _KONIQ, 0.812, None, _ABSTRACT),
    # Full data: the usual 80/20 splits.
    Published("GRMP-IQA", "80%", ("live",), 0.981, 0.983, _QUOTED),
    Published("GRMP-IQA", "80%", ("csiq",), 0.949, 0.955, _QUOTED),
    Published("GRMP-IQA", "80%", _KONIQ, 0.934, 0.945, _QUOTED),
    Published("GRMP-IQA", "80%", _LIVEC, 0.897, 0.916, _QUOTED),
    Published("GRMP-IQA", "80%", ("spaq",), 0.927, 0.932, _QUOTED),
    Published("GRMP-IQA", "80%", ("flive",), 0.616, 0.704, _QUOTED),
)


def published_for(data: str, shots: str, tested: str | None) -> tuple[Published, ...]:
    """What was published for a setting; nothing for tests on another data set."""
    if tested is not None:
        return ()
    return tuple(one for one in PUBLISHED if one.shots == shots and data.lower() in one.data)
