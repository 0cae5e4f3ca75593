"""Quality-aware gradient regularization (QGR): learn quality without relearning image content.

Where the gradient of the quality loss agrees with that of a semantic loss, `strength` times its component
along the semantic gradient is subtracted. Source: the authors' released code for arXiv:2409.05381; after
ProGrad, arXiv:2205.14865.
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
        strength: The method's lambda; 0 changes nothing, 1 projects, above 1 reverses the component.
    """
    gradients: list[Tensor | None] = []
    projected: list[bool] = []
    unreached = not_finite = 0
    finite: list[Tensor] = []
    quality_square = semantic_square = product = 0.0
    pairs = list(zip(quality, semantic, strict=True))
    for (gq, gs), (own_square, square, dot) in zip(pairs, _products(pairs), strict=True):
        quality_square += own_square
        semantic_square += square
        unreached += square == 0
        not_finite += not math.isfinite(square)
        if gq is None or gs is None or not 0 < square < math.inf:
            projected.append(False)
            gradients.append(gq)
            continue
        product += dot
        # A product that is not finite comes from the quality gradient; the whole step is unusable.
        change = strength != 0 and 0 < dot < math.inf
        projected.append(change)
        regularized = gq - (strength * dot / square) * gs if change else gq
        # In float16 the change itself may overflow.
        if change:
            finite.append(regularized.isfinite().all())
        gradients.append(regularized)
    return Regularized(
        tuple(gradients),
        tuple(projected),
        unreached,
        not_finite,
        math.isfinite(quality_square) and (not finite or bool(torch.stack(finite).all())),
        _angle(product, quality_square, semantic_square),
    )


def _products(pairs: Sequence[tuple[Tensor | None, Tensor | None]]) -> list[tuple[float, float, float]]:
    """<Gq, Gq>, <Gs, Gs> and <Gq, Gs> of each pair, 0 where one is None, in one transfer from the device."""
    factors = [both for gq, gs in pairs for both in ((gq, gq), (gs, gs), (gq, gs))]
    dots = [_dot(a, b) for a, b in factors if a is not None and b is not None]
    values = iter(torch.stack(dots).tolist() if dots else [])
    found = [0.0 if a is None or b is None else float(next(values)) for a, b in factors]
    return list(zip(found[0::3], found[1::3], found[2::3], strict=True))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    a, b = a.flatten(), b.flatten()
    # float16 overflows at 65504; some devices lack float64.
    dtype = torch.promote_types(a.dtype, torch.float32)
    return torch.dot(a.to(dtype), b.to(dtype))


def _angle(product: float, first_square: float, second_square: float) -> float:
    norm = math.sqrt(first_square * second_square) if min(first_square, second_square) > 0 else 0.0
    if not math.isfinite(norm) or norm == 0:
        return math.nan
    return math.degrees(math.acos(max(-1.0, min(1.0, product / norm))))
