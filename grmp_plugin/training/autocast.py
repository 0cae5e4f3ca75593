"""Gradients in reduced precision: autocast, and losses scaled so that float16 holds their gradients."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# float16 has no numbers between 0 and 6e-8; many gradients of a mean over shots are smaller.
_LARGEST_SCALE = 2.0**16
_LOWER = 2.0**-4


class Autocast:
    """Computes in reduced precision; weights and their gradients stay in float32.

    Args:
        device: Type of the device.
        precision: `fp32`, `bf16` or `fp16`.

    Attributes:
        scale: What losses are multiplied by before their gradients are computed, a power of two.
    """

    def __init__(self, device: str, precision: str) -> None:
        self._device = device
        self._dtype = _DTYPES.get(precision)
        # bfloat16 has the range of float32.
        self.scale = _LARGEST_SCALE if self._dtype == torch.float16 else 1.0

    def context(self) -> AbstractContextManager[object]:
        """In which forward passes are computed in this precision."""
        return nullcontext() if self._dtype is None else torch.autocast(self._device, self._dtype)

    def gradients(
        self, loss: Tensor, parameters: Sequence[Tensor], *, retain_graph: bool = False
    ) -> tuple[Tensor | None, ...]:
        """Gradients of a loss; if they overflow, the scale is lowered for this loss and those that follow.

        Args:
            loss: A scalar.
            parameters: Any shapes.
            retain_graph: Whether another loss of the same graph follows.

        Returns:
            One for each parameter; None where the loss does not reach it. NaN or infinity only where they
            remain without a scale.
        """
        while self.scale > 1:
            found = torch.autograd.grad(self.scale * loss, parameters, retain_graph=True, allow_unused=True)
            if _finite(found):
                return tuple(None if g is None else g / self.scale for g in found)
            self.scale *= _LOWER
        return torch.autograd.grad(loss, parameters, retain_graph=retain_graph, allow_unused=True)

    def load_scale(self, scale: float) -> None:
        """Continue with a saved scale; raises ValueError for one that cannot be."""
        if scale not in {1.0} | {_LARGEST_SCALE * _LOWER**n for n in range(4)}:
            raise ValueError(f"a loss scale of {scale}")
        self.scale = scale


def _finite(gradients: Sequence[Tensor | None]) -> bool:
    checks = [g.isfinite().all() for g in gradients if g is not None]
    return not checks or bool(torch.stack(checks).all())
