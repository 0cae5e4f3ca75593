"""Soft targets for the captions of an image: one distribution over the texts of each group."""

import torch
import torch.nn.functional as F
from torch import Tensor

from grmp_plugin.config import SCENES
from grmp_plugin.synthetic.distortions import DISTORTIONS

_LEVELS = 5
FAULTS = 1 + _LEVELS * len(DISTORTIONS)
"""Texts of the group `fault`: pristine, then every kind at every level."""

# Levels are a scale: a caption one level off is nearly right.
_OWN_LEVEL = 0.7
# Thirds of the corpus' views in each of the corpus' measures of appearance.
_THIRDS = {
    "brightness": (0.385, 0.522),
    "contrast": (0.165, 0.230),
    "colour": (0.070, 0.152),
    "detail": (0.0155, 0.0311),
}


def caption_targets(appearance: Tensor, scenes: Tensor, kinds: Tensor, levels: Tensor) -> dict[str, Tensor]:
    """Soft targets for the groups of `captions.caption_groups`.

    Args:
        appearance: (B, 4), see `corpus.appearance`.
        scenes: (B,) indices of the scenes; -1 where unknown, which gives a row of zeros.
        kinds: (B, 2) numbers in `corpus.KINDS`, 0 where there is none.
        levels: (B, 2) their levels, 0 where there is none.
    """
    strongest = levels.amax(1)
    known = (scenes >= 0).float()[:, None]
    return {
        "scene": F.one_hot(scenes.clamp(min=0), len(SCENES)).float() * known,
        "fault": fault_targets(kinds, levels),
        "strength": torch.where(
            strongest[:, None] > 0, _near(strongest), F.one_hot(strongest, 1 + _LEVELS).float()
        ),
        **{
            name: F.one_hot(torch.bucketize(value.contiguous(), torch.tensor(thirds)), 3).float()
            for (name, thirds), value in zip(_THIRDS.items(), appearance.unbind(1), strict=True)
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


def _near(levels: Tensor) -> Tensor:
    """(B, 1 + levels): most weight at each level, from 1 to 5, the rest on the levels beside it."""
    places = torch.arange(1 + _LEVELS)
    beside = (((places - levels[:, None]).abs() == 1) & (places >= 1)).float()
    beside = beside / beside.sum(1, keepdim=True).clamp(min=1) * (1 - _OWN_LEVEL)
    return beside + _OWN_LEVEL * F.one_hot(levels, 1 + _LEVELS)
