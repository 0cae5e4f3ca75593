"""Convolution and ReLU6 in one pass over memory, where torch can.

The trunk's feature maps are larger than a core's caches, so each pass over one costs time. torch has an
operator that does both in one pass, for its compiler and under a private name: it is used only where it gives
what the public ones give, which is tried once.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


def convolution_relu6(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, groups: int
) -> Tensor:
    """ReLU6 of a convolution with a square kernel.

    Args:
        x: (B, C, H, W).
        weight: (out, C / groups, K, K).
        bias: (out,).
        stride, padding, groups: As in `torch.nn.functional.conv2d`.
    """
    if scores_only(x) and _fused_is_right():
        return _fused(x, weight, bias, stride, padding, groups)
    return F.relu6(F.conv2d(x, weight, bias, stride, padding, groups=groups), inplace=True)


def scores_only(x: Tensor) -> bool:
    """Whether x is on a CPU in float32, and nobody wants a gradient or a graph of what is done with it."""
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
    )


def _fused(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, [padding] * 2, [stride] * 2, [1, 1], groups, "hardtanh", [0.0, 6.0], ""
    )
    return result


@functools.cache
def _fused_is_right() -> bool:
    """Whether this torch, on this processor, has the operator and it does what it is used for."""
    numbers = torch.Generator().manual_seed(0)
    x = 9 * torch.randn(2, 8, 6, 6, generator=numbers).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(8, 1, 3, 3, generator=numbers)
    bias = torch.randn(8, generator=numbers)
    expected = F.relu6(F.conv2d(x, weight, bias, 2, 1, groups=8))
    if not torch.backends.mkldnn.enabled:
        return False
    try:
        found = _fused(x, weight, bias, 2, 1, 8)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return found.shape == expected.shape and torch.allclose(found, expected, atol=1e-4)
