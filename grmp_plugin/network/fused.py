"""Convolution and ReLU6 in one pass over memory, where torch can.

The trunk's feature maps are larger than a core's caches, so each pass over one costs time. torch has an
operator that does both in one pass, and a layout of kernels that it need not prepare in every call: for its
compiler, and under private names. They are used only where they give what the public ones give, which is
tried once.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


def convolution(x: Tensor, kernel: Tensor, bias: Tensor, stride: int, groups: int, *, relu6: bool) -> Tensor:
    """Convolve with a square kernel of odd size, padded by half of it, and apply ReLU6 if wanted.

    Args:
        x: (B, C, H, W).
        kernel: (out, C / groups, K, K), or what `prepared` made of it.
        bias: (out,).
        stride, groups: As in `torch.nn.functional.conv2d`.
        relu6: Whether to apply ReLU6.
    """
    if kernel.is_mkldnn:
        return _fused(x, kernel, bias, stride, groups, relu6)
    result = F.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2, groups=groups)
    return F.relu6(result, inplace=True) if relu6 else result


def prepared(kernel: Tensor, stride: int, groups: int) -> Tensor:
    """The kernel for many convolutions of maps for which `scores_only` holds; unchanged if torch cannot."""
    return _reordered(kernel, stride, groups) if _fused_is_right() else kernel


def scores_only(x: Tensor) -> bool:
    """Whether x is on a CPU in float32, and nobody wants a gradient or a graph of what is done with it."""
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
    )


def _fused(x: Tensor, kernel: Tensor, bias: Tensor, stride: int, groups: int, relu6: bool) -> Tensor:
    padding = [kernel.shape[-1] // 2] * 2
    activation = ("hardtanh", [0.0, 6.0], "") if relu6 else ("none", [], "")
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, kernel, bias, padding, [stride] * 2, [1, 1], groups, *activation
    )
    return result


def _reordered(kernel: Tensor, stride: int, groups: int) -> Tensor:
    padding = [kernel.shape[-1] // 2] * 2
    result: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        kernel, padding, [stride] * 2, [1, 1], groups, None
    )
    return result


@functools.cache
def _fused_is_right() -> bool:
    """Whether this torch, on this processor, has the operators and they do what they are used for."""
    if not torch.backends.mkldnn.enabled:
        return False
    numbers = torch.Generator().manual_seed(0)
    x = 9 * torch.randn(2, 8, 6, 6, generator=numbers).contiguous(memory_format=torch.channels_last)
    kernel, bias = torch.randn(8, 1, 3, 3, generator=numbers), torch.randn(8, generator=numbers)
    for relu6 in (True, False):
        expected = convolution(x, kernel, bias, 2, 8, relu6=relu6)
        try:
            found = convolution(x, _reordered(kernel, 2, 8), bias, 2, 8, relu6=relu6)
        except (AttributeError, RuntimeError, TypeError):
            return False
        if found.shape != expected.shape or not torch.allclose(found, expected, atol=1e-4):
            return False
    return True
