"""Gradient regularization, on vectors that can be computed by hand."""

import math

import pytest
import torch

from grmp_plugin.training.gradient import regularize

NAN, INF = math.nan, math.inf


def vector(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


def one(quality, semantic, strength):
    """The result for a single tensor, and its regularized gradient."""
    result = regularize([quality], [semantic], strength)
    return result, result.gradients[0]


# The formula


@pytest.mark.parametrize(
    ("strength", "expected"),
    # <Gq, Gs> = 6 and |Gs|^2 = 4: strength * (3, 0) is subtracted.
    [(0, (3, 4)), (1, (0, 4)), (2, (-3, 4)), (5, (-12, 4))],
)
def test_agreeing_gradient_loses_its_semantic_part(strength, expected):
    result, gradient = one(vector(3, 4), vector(2, 0), strength)
    assert gradient.tolist() == list(expected)
    assert result.projected == (strength > 0,)
    assert result.usable
    assert (result.unreached, result.not_finite) == (0, 0)


@pytest.mark.parametrize("semantic", [(-2, 0), (-4, 3), (0, -1), (-1, -1)])
@pytest.mark.parametrize("strength", [0, 1, 5])
def test_opposed_or_orthogonal_gradient_is_kept(semantic, strength):
    result, gradient = one(vector(3, 4), vector(*semantic), strength)
    assert gradient.tolist() == [3, 4]
    assert result.projected == (False,)
    assert result.share_projected == 0


def test_length_of_the_semantic_gradient_does_not_matter():
    short, long = (one(vector(3, 4), scale * vector(1, 2), 5)[1] for scale in (0.125, 64))
    # <(3, 4), (1, 2)> = 11 and |(1, 2)|^2 = 5: 5 * 11 / 5 = 11 times (1, 2).
    assert short.tolist() == pytest.approx([3 - 11, 4 - 22])
    assert long.tolist() == pytest.approx([3 - 11, 4 - 22])


@pytest.mark.parametrize("strength", [1, 2, 5])
def test_component_along_the_semantic_gradient(strength):
    generator = torch.Generator().manual_seed(0)
    quality, semantic = (torch.randn(7, 3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    semantic = semantic + quality  # so that they agree
    before = (quality * semantic).sum().item()
    assert before > 0
    _, gradient = one(quality, semantic, strength)
    along = (gradient * semantic).sum().item()
    # Zero at strength 1, which leaves the orthogonal part; reversed above.
    assert along == pytest.approx((1 - strength) * before, abs=1e-12 * semantic.square().sum().item())
    across = [g - semantic * ((g * semantic).sum() / semantic.square().sum()) for g in (gradient, quality)]
    torch.testing.assert_close(*across)
    assert gradient.shape == quality.shape


def test_each_tensor_is_judged_on_its_own():
    quality = [vector(1, 0), vector(1, 0), torch.tensor([[2.0], [1.0]])]
    # Over all tensors, the second pair's opposition outweighs the first pair's agreement.
    semantic = [vector(1, 1), vector(-9, 0), torch.tensor([[0.0], [1.0]])]
    result = regularize(quality, semantic, 1.0)
    assert [g.tolist() for g in result.gradients] == [[0.5, -0.5], [1, 0], [[2], [0]]]
    assert result.projected == (True, False, True)
    assert result.share_projected == pytest.approx(2 / 3)


def test_arguments_are_not_changed():
    quality, semantic = vector(3, 4), vector(2, 0)
    one(quality, semantic, 5)
    assert (quality.tolist(), semantic.tolist()) == ([3, 4], [2, 0])


def test_different_numbers_of_tensors_are_an_error():
    with pytest.raises(ValueError, match="argument 2"):
        regularize([vector(1), vector(1)], [vector(1)], 1.0)


# Missing or unusable gradients


@pytest.mark.parametrize("semantic", [None, vector(0, 0)])
def test_unreached_tensor_keeps_its_quality_gradient(semantic):
    result = regularize([vector(3, 4), vector(3, 4)], [semantic, vector(2, 0)], 1.0)
    assert [g.tolist() for g in result.gradients] == [[3, 4], [0, 4]]
    assert result.projected == (False, True)
    assert (result.unreached, result.not_finite) == (1, 0)
    assert result.usable


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_semantic_gradient_that_is_not_finite_is_ignored(value):
    result = regularize([vector(3, 4), vector(3, 4)], [vector(2, value), vector(2, 0)], 1.0)
    assert [g.tolist() for g in result.gradients] == [[3, 4], [0, 4]]
    assert result.projected == (False, True)
    assert (result.unreached, result.not_finite) == (0, 1)
    assert result.usable  # the step can be taken
    assert math.isnan(result.angle)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("semantic", [None, vector(2, 0), vector(2, NAN)])
def test_quality_gradient_that_is_not_finite_makes_the_step_unusable(value, semantic):
    result = regularize([vector(3, 4), vector(value, 4)], [vector(2, 0), semantic], 5.0)
    assert not result.usable
    assert result.projected == (True, False)
    assert math.isnan(result.angle)


def test_tensor_without_a_quality_gradient_stays_without():
    result = regularize([None, vector(3, 4), None], [vector(1, 0), vector(2, 0), None], 1.0)
    assert result.gradients[0] is None
    assert result.gradients[2] is None
    assert result.gradients[1].tolist() == [0, 4]
    assert result.projected == (False, True, False)
    assert result.unreached == 1
    assert result.share_projected == 1  # of the one that has a quality gradient
    assert result.usable


def test_no_tensor_with_a_quality_gradient():
    result = regularize([None], [vector(1)], 1.0)
    assert result.share_projected == 0
    assert result.usable
    assert math.isnan(result.angle)


# The angle


@pytest.mark.parametrize(
    ("quality", "semantic", "degrees"),
    [
        ([vector(1, 0)], [vector(1, math.sqrt(3))], 60),
        ([vector(1, 0)], [vector(-1, math.sqrt(3))], 120),
        ([vector(2, 0)], [vector(-3, 0)], 180),
        ([vector(2, 2)], [vector(3, 3)], 0),
        # Over all tensors together, as if they were one: (1, 1) and (1, 0).
        ([vector(1), vector(1)], [vector(1), vector(0)], 45),
        ([vector(1), vector(1)], [vector(1), None], 45),
        ([vector(1), None], [vector(1), vector(1)], 45),
        ([vector(3, 0), vector(0, 4)], [vector(0, 3), vector(4, 0)], 90),
    ],
)
@pytest.mark.parametrize("strength", [0, 5])
def test_angle(quality, semantic, degrees, strength):
    assert regularize(quality, semantic, strength).angle == pytest.approx(degrees, abs=0.05)


@pytest.mark.parametrize(("quality", "semantic"), [(vector(0, 0), vector(1, 0)), (vector(1, 0), None)])
def test_no_angle_to_a_zero_gradient(quality, semantic):
    assert math.isnan(one(quality, semantic, 1)[0].angle)


def test_rounding_never_leaves_the_range_of_the_cosine():
    for seed in range(50):
        same = torch.randn(1000, generator=torch.Generator().manual_seed(seed))
        assert one(same, 3 * same, 1)[0].angle == pytest.approx(0, abs=0.1)
        assert one(same, -3 * same, 1)[0].angle == pytest.approx(180, abs=0.1)


# Half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_values_in_half_precision(dtype):
    # Squares of 300 are beyond float16's 65504.
    quality, semantic = vector(320, 384, dtype=dtype), vector(512, 0, dtype=dtype)
    result, gradient = one(quality, semantic, 1)
    assert gradient.dtype == dtype
    assert gradient.tolist() == [0, 384]
    assert result.usable
    assert result.not_finite == 0
    assert result.angle == pytest.approx(math.degrees(math.atan2(384, 320)), abs=0.01)


def test_many_values_in_half_precision():
    ones = torch.ones(100_000, dtype=torch.float16)  # the sum of their squares is beyond 65504, too
    result, gradient = one(2 * ones, ones, 1)
    assert result.usable
    assert gradient.abs().max() == 0
    assert one(2 * ones, ones, 5)[1].tolist() == (-8 * ones).tolist()


def test_small_values_in_half_precision():
    # Their squares are 0 in float16, which would look like a tensor that is not reached.
    quality, semantic = vector(2**-12, 2**-13, dtype=torch.float16), vector(2**-14, 0, dtype=torch.float16)
    result, gradient = one(quality, semantic, 1)
    assert result.unreached == 0
    assert gradient.tolist() == [0, 2**-13]


# Transfers


def test_statistics_of_all_tensors_leave_the_device_together(transfers):
    generator = torch.Generator().manual_seed(0)
    quality = [torch.randn(5, generator=generator) for _ in range(100)]
    regularize(quality, [gradient + 0.1 for gradient in quality], 5.0)
    assert len(transfers) == 2, transfers
