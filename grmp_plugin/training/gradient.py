"""Quality-aware gradient regularization (QGR): learn quality without relearning image content.

Where the gradient of the quality loss agrees with that of a semantic loss, `strength` times its component
along the semantic gradient is subtracted. Source: arXiv:2409.05381, section on QGR; after ProGrad,
arXiv:2205.14865.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Regularized:
    """Regularized gradients, with statistics.

    Attributes:
        gradients: One per tensor; None where the quality loss does not reach it.
        projected: Whether each tensor's gradient was changed.
        unreached: Number of tensors whose semantic gradient is absent or all zero; their quality gradient is
            kept.
        not_finite: Number of tensors whose semantic gradient has NaN or infinity; their quality gradient is
            kept.
        usable: False when a resulting gradient has NaN or infinity, from the quality loss or because the
            change overflowed: skip the step.
        angle: Degrees between the quality and semantic gradients over all tensors; NaN when one of them is
            zero or not finite.
    """

    gradients: tuple[Tensor | None, ...]
    projected: tuple[bool, ...]
    unreached: int
    not_finite: int
    usable: bool
    angle: float

    @property
    def share_projected(self) -> float:
        """Share of the tensors with a quality gradient whose gradient was changed."""
        reached = sum(g is not None for g in self.gradients)
        return sum(self.projected) / reached if reached else 0.0


def regularize(
    quality: Sequence[Tensor | None], semantic: Sequence[Tensor | None], strength: float
) -> Regularized:
    """Subtract from each quality gradient its component along the semantic gradient, where the two agree.

    For each tensor: G = Gq - strength <Gq, Gs> / |Gs|^2 Gs if <Gq, Gs> > 0, else G = Gq.

    Args:
        quality: Gradients of the quality loss, any shapes; None where it does not reach a tensor.
        semantic: Gradients of the semantic loss for the same tensors; None or zero where it does not.
        strength: The paper's lambda; 0 changes nothing, 1 projects, above 1 reverses the component.
    """
    gradients: list[Tensor | None] = []
    projected: list[bool] = []
    unreached = not_finite = 0
    usable = True
    quality_square = semantic_square = product = 0.0
    for gq, gs in zip(quality, semantic, strict=True):
        quality_square += 0.0 if gq is None else _dot(gq, gq)
        square = 0.0 if gs is None else _dot(gs, gs)
        semantic_square += square
        unreached += square == 0
        not_finite += not math.isfinite(square)
        if gq is None or gs is None or not 0 < square < math.inf:
            projected.append(False)
            gradients.append(gq)
            continue
        dot = _dot(gq, gs)
        product += dot
        # A product that is not finite comes from the quality gradient; the whole step is unusable.
        change = strength != 0 and 0 < dot < math.inf
        projected.append(change)
        regularized = gq - (strength * dot / square) * gs if change else gq
        # In float16 the change itself may overflow.
        usable = usable and (not change or bool(regularized.isfinite().all()))
        gradients.append(regularized)
    return Regularized(
        tuple(gradients),
        tuple(projected),
        unreached,
        not_finite,
        usable and math.isfinite(quality_square),
        _angle(product, quality_square, semantic_square),
    )


def _dot(a: Tensor, b: Tensor) -> float:
    a, b = a.flatten(), b.flatten()
    # float16 overflows at 65504; some devices lack float64.
    dtype = torch.promote_types(a.dtype, torch.float32)
    return torch.dot(a.to(dtype), b.to(dtype)).item()


def _angle(product: float, first_square: float, second_square: float) -> float:
    norm = math.sqrt(first_square * second_square) if min(first_square, second_square) > 0 else 0.0
    if not math.isfinite(norm) or norm == 0:
        return math.nan
    return math.degrees(math.acos(max(-1.0, min(1.0, product / norm))))
