"""Losses of the quality stage beside the method's own."""

import torch.nn.functional as F
from torch import Tensor


def ranking_loss(score: Tensor, quality: Tensor, margin: float = 0.03) -> Tensor:
    """Logistic loss over all pairs of a row whose quality differs by more than `margin`.

    Args:
        score: (rows, N), unbounded; higher is better.
        quality: (rows, N).
        margin: of quality.
    """
    wanted = quality.unsqueeze(-1) - quality.unsqueeze(-2) > margin
    if not bool(wanted.any()):
        return score.sum() * 0
    return F.softplus(-(score.unsqueeze(-1) - score.unsqueeze(-2))[wanted]).mean()
