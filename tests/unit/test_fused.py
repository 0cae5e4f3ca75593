"""Convolution and ReLU6 in one pass: the same numbers as in two."""

import pytest
import torch
import torch.nn.functional as F

from grmp_plugin.network import fused

# Channels, outputs, kernel, stride, groups: the kinds of convolution in the trunk.
KINDS = [(3, 32, 3, 2, 1), (16, 96, 1, 1, 1), (96, 96, 3, 2, 96), (144, 144, 5, 2, 144), (40, 40, 5, 1, 40)]


@pytest.fixture
def fresh():
    """A new trial of the operators, before and after."""
    fused._fused_is_right.cache_clear()
    yield
    fused._fused_is_right.cache_clear()


def example(channels, out, kernel, groups):
    numbers = torch.Generator().manual_seed(0)
    x = 4 * torch.randn(2, channels, 17, 24, generator=numbers).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(out, channels // groups, kernel, kernel, generator=numbers)
    return x, weight, torch.randn(out, generator=numbers)


@pytest.mark.parametrize("relu6", [True, False])
@pytest.mark.parametrize(("channels", "out", "kernel", "stride", "groups"), KINDS)
def test_same_as_in_two_passes(channels, out, kernel, stride, groups, relu6):
    x, weight, bias = example(channels, out, kernel, groups)
    expected = F.conv2d(x, weight, bias, stride, kernel // 2, groups=groups)
    assert (expected < 0).any()
    assert (expected > 6).any()
    expected = expected.clamp(0, 6) if relu6 else expected
    with torch.inference_mode():
        ready = fused.prepared(weight, stride, groups)
        for given in (weight, ready):
            found = fused.convolution(x, given, bias, stride, groups, relu6=relu6)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_gradients_are_those_of_two_passes():
    x, weight, bias = example(8, 8, 3, 8)
    x.requires_grad_(True)
    fused.convolution(x, weight, bias, 2, 8, relu6=True).sum().backward()
    (expected,) = torch.autograd.grad(F.conv2d(x, weight, bias, 2, 1, groups=8).clamp(0, 6).sum(), x)
    torch.testing.assert_close(x.grad, expected)


def test_who_wants_a_gradient_or_another_precision_is_not_served():
    x = torch.rand(1, 3, 8, 8)
    assert not fused.scores_only(x)
    with torch.no_grad():
        assert fused.scores_only(x)
        assert not fused.scores_only(x.double())
        assert not fused.scores_only(x.bfloat16())
        assert not fused.scores_only(x.to("meta"))


@pytest.mark.parametrize("fault", [AttributeError("no such operator"), RuntimeError("not built"), None])
def test_an_operator_that_is_missing_or_wrong_is_not_used(fresh, monkeypatch, fault):
    def broken(*given):
        if fault is not None:
            raise fault
        return torch.zeros(2, 8, 3, 3)

    monkeypatch.setattr(fused, "_fused", broken)
    _, weight, _ = example(8, 8, 3, 8)
    assert fused.prepared(weight, 1, 8) is weight


def test_without_mkldnn_kernels_stay_as_they_are(fresh):
    _, weight, _ = example(8, 8, 3, 8)
    with torch.backends.mkldnn.flags(enabled=False):
        assert fused.prepared(weight, 1, 8) is weight
