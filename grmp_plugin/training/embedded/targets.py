"""Which captions fit an image: soft targets, one distribution over the texts of each group."""

import torch
import torch.nn.functional as F
from torch import Tensor

from grmp_plugin.config import SCENES
from grmp_plugin.data.distortions import DISTORTIONS

_LEVELS = 5
FAULTS = 1 + _LEVELS * len(DISTORTIONS)
"""Texts of the group `fault`: pristine, then every kind at every level."""

# Levels are a scale: a caption one level off is nearly right.
_OWN_LEVEL = 0.7
# Thirds of the drawn and distorted views: mean and deviation of luma, mean chroma, mean step between
# neighbours, each for RGB in [0, 1].
_THIRDS = {
    "brightness": (0.33, 0.44),
    "contrast": (0.136, 0.183),
    "colour": (0.086, 0.155),
    "detail": (0.018, 0.034),
}


def caption_targets(view: Tensor, scenes: Tensor, kinds: Tensor, levels: Tensor) -> dict[str, Tensor]:
    """Soft targets for the groups of `captions.caption_groups`.

    Args:
        view: (B, 3, S, S), RGB in [0, 1].
        scenes: (B,) numbers of the scenes.
        kinds: (B, 2) numbers in `corpus.KINDS`, 0 where there is none.
        levels: (B, 2) levels of the two, 0 where there is none.
    """
    strongest = levels.amax(1)
    return {
        "scene": F.one_hot(scenes, len(SCENES)).float(),
        "fault": fault_targets(kinds, levels),
        "strength": torch.where(
            strongest[:, None] > 0, _near(strongest), F.one_hot(strongest, 1 + _LEVELS).float()
        ),
        **{
            name: F.one_hot(torch.bucketize(value, torch.tensor(_THIRDS[name])), 3).float()
            for name, value in appearance(view).items()
        },
    }


def fault_targets(kinds: Tensor, levels: Tensor) -> Tensor:
    """(B, `FAULTS`) from up to two distortions of each image; see `caption_targets`."""
    share = (kinds > 0).float()
    share = share / share.sum(1, keepdim=True).clamp(min=1)
    first = 1 + _LEVELS * (kinds - 1)
    targets = torch.zeros(len(kinds), FAULTS)
    targets[:, 0] = (kinds == 0).all(1).float()
    for column in range(kinds.shape[1]):
        near = _near(levels[:, column])[:, 1:]
        places = first[:, column, None].clamp(min=1) + torch.arange(_LEVELS)
        targets = targets.scatter_add(1, places, near * share[:, column, None])
    return targets


def quality_targets(mos: Tensor, levels: Tensor, share: float) -> Tensor:
    """What the metric learns: pseudo-MOS, mixed with the levels, which were set by eye.

    Full-reference similarity hardly sees colours fade; the levels do, but know nothing of the picture.

    Args:
        mos: (...) pseudo-MOS.
        levels: (..., 2) as in `caption_targets`.
        share: of the levels.
    """
    strongest, other = levels.amax(-1), levels.amin(-1)
    annoyance = (strongest + 0.4 * other).clamp(max=_LEVELS) / _LEVELS
    return (1 - share) * mos + share * (1 - 0.95 * annoyance)


def appearance(view: Tensor) -> dict[str, Tensor]:
    """Measures (B,) behind the captions of appearance; view as in `caption_targets`."""
    luma = view.mean(1)
    chroma = (view - luma[:, None]).square().sum(1).sqrt()
    steps = (luma[..., 1:] - luma[..., :-1]).abs().mean((1, 2))
    return {
        "brightness": luma.mean((1, 2)),
        "contrast": luma.flatten(1).std(1),
        "colour": chroma.mean((1, 2)),
        "detail": steps,
    }


def _near(levels: Tensor) -> Tensor:
    """(B, 1 + levels): most weight at each level, from 1 to 5, the rest on the levels beside it."""
    places = torch.arange(1 + _LEVELS)
    beside = (((places - levels[:, None]).abs() == 1) & (places >= 1)).float()
    beside = beside / beside.sum(1, keepdim=True).clamp(min=1) * (1 - _OWN_LEVEL)
    return beside + _OWN_LEVEL * F.one_hot(levels, 1 + _LEVELS)
