"""What the embedded model learns from: texts that describe an image, and how good it is."""

import torch
import torch.nn.functional as F
from torch import Tensor


def ranking_loss(logits: Tensor, quality: Tensor, margin: float = 0.02) -> Tensor:
    """Logistic loss over all pairs of a batch whose pseudo-MOS differ by more than `margin`."""
    score = logits[:, 0] - logits[:, 1]
    wanted = quality[:, None] - quality[None]
    pairs = wanted > margin
    if not bool(pairs.any()):
        return score.sum() * 0
    return F.softplus(-(score[:, None] - score[None])[pairs]).mean()


def grade_targets(quality: Tensor, grades: int) -> Tensor:
    """Soft membership (B, grades) in grades evenly spread over [0, 1], linear between neighbours."""
    position = quality.clamp(0, 1) * (grades - 1)
    distance = (position[:, None] - torch.arange(grades, device=quality.device)).abs()
    return (1 - distance).clamp(min=0)


def kind_targets(kinds: Tensor, count: int) -> Tensor:
    """Soft targets (B, count) from up to two distortions for each image: (B, 2), 0 where there is none."""
    first, second = kinds.unbind(1)
    second = torch.where(second == 0, first, second)
    return (F.one_hot(first, count) + F.one_hot(second, count)).float() / 2
