"""The two losses of the method, from logits."""

import torch
import torch.nn.functional as F
from torch import Tensor


def quality_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Cross-entropy between the predicted probability of good quality and the rated quality.

    Args:
        logits: (B, 2), good first.
        quality: (B,) in [0, 1], 1 = best.

    Returns:
        A scalar.
    """
    return F.cross_entropy(logits, torch.stack([quality, 1 - quality], dim=1).to(logits.dtype))


def semantic_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Cross-entropy between the student's scene distribution and the teacher's.

    Args:
        logits: (B, scenes), the student's.
        teacher_logits: (B, scenes), the frozen CLIP's; they receive no gradient.

    Returns:
        A scalar.
    """
    return F.cross_entropy(logits, teacher_logits.detach().softmax(-1).to(logits.dtype))
