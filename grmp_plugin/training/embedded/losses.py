"""Losses of the metric beside the method's own."""

import torch
import torch.nn.functional as F
from torch import Tensor


def ranking_loss(score: Tensor, quality: Tensor, margin: float = 0.03) -> Tensor:
    """Logistic loss over all pairs of a row whose quality differs by more than `margin`.

    Args:
        score: (rows, N), unbounded; higher is better.
        quality: (rows, N).
        margin: Smallest difference in quality that counts.
    """
    wanted = quality.unsqueeze(-1) - quality.unsqueeze(-2) > margin
    if not bool(wanted.any()):
        return score.sum() * 0
    return F.softplus(-(score.unsqueeze(-1) - score.unsqueeze(-2))[wanted]).mean()


def disagreement(score: Tensor, quality: Tensor) -> Tensor:
    """Half of 1 minus the linear correlation of two (N,): 0 in full agreement, 1 in full contradiction."""
    pair = torch.stack([score, quality])
    centred = pair - pair.mean(1, keepdim=True)
    return (1 - F.cosine_similarity(centred[0], centred[1], dim=0)) / 2
