"""Convolution and ReLU6 in one pass: the same numbers as in two, and never where a gradient is wanted."""

import pytest
import torch
import torch.nn.functional as F

from grmp_plugin.network import fused

# Channels, outputs, kernel, stride, groups: the kinds of convolution in the trunk.
KINDS = [(3, 32, 3, 2, 1), (16, 96, 1, 1, 1), (96, 96, 3, 2, 96), (144, 144, 5, 2, 144), (40, 40, 5, 1, 40)]


@pytest.fixture
def calls(monkeypatch):
    """How often the fused operator was used, from a new trial of it on."""
    counted = []
    operator = fused._fused
    monkeypatch.setattr(fused, "_fused", lambda *given: counted.append(given) or operator(*given))
    fused._fused_is_right.cache_clear()
    yield counted
    fused._fused_is_right.cache_clear()


def example(channels, out, kernel, groups, dtype=torch.float32):
    numbers = torch.Generator().manual_seed(0)
    x = 4 * torch.randn(2, channels, 17, 24, generator=numbers, dtype=dtype)
    weight = torch.randn(out, channels // groups, kernel, kernel, generator=numbers, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last), weight, torch.randn(out, dtype=dtype)


@pytest.mark.parametrize(("channels", "out", "kernel", "stride", "groups"), KINDS)
def test_same_as_in_two_passes(channels, out, kernel, stride, groups):
    x, weight, bias = example(channels, out, kernel, groups)
    expected = F.conv2d(x, weight, bias, stride, kernel // 2, groups=groups).clamp(0, 6)
    with torch.inference_mode():
        found = fused.convolution_relu6(x, weight, bias, stride, kernel // 2, groups)
    assert (expected == 0).any()
    assert (expected == 6).any()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_gradient_is_the_one_of_two_passes(calls):
    x, weight, bias = example(8, 8, 3, 8)
    x.requires_grad_(True)
    fused.convolution_relu6(x, weight, bias, 2, 1, 8).sum().backward()
    (expected,) = torch.autograd.grad(F.conv2d(x, weight, bias, 2, 1, groups=8).clamp(0, 6).sum(), x)
    torch.testing.assert_close(x.grad, expected)
    assert not calls


def test_other_precisions_take_two_passes(calls):
    x, weight, bias = example(8, 8, 3, 8, torch.float64)
    with torch.inference_mode():
        found = fused.convolution_relu6(x, weight, bias, 1, 1, 8)
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, 1, 1, groups=8).clamp(0, 6))
    assert not calls


@pytest.mark.parametrize("fault", [AttributeError("no such operator"), RuntimeError("not built"), None])
def test_an_operator_that_is_missing_or_wrong_is_not_used(calls, monkeypatch, fault):
    def broken(*given):
        if fault is not None:
            raise fault
        return torch.zeros(2, 8, 3, 3)

    monkeypatch.setattr(fused, "_fused", broken)
    x, weight, bias = example(8, 8, 3, 8)
    with torch.inference_mode():
        found = fused.convolution_relu6(x, weight, bias, 1, 1, 8)
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, 1, 1, groups=8).clamp(0, 6))
