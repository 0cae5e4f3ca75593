"""The statistics that the embedded model's stem reads: what they say, and that they are always numbers."""

import numpy as np
import pytest
import skimage.data
import torch

from grmp_plugin.network import view_statistics as statistics
from grmp_plugin.network.view_statistics import STATISTICS, view_statistics


def as_tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def coffee():
    return np.ascontiguousarray(skimage.data.coffee()[100:212, 150:262])


@pytest.mark.parametrize("side", [16, 32, 112])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_views_have_finite_statistics_and_gradients(side, value):
    view = torch.full((2, 3, side, side), value, requires_grad=True)
    found = view_statistics(view)
    assert found.shape == (2, STATISTICS)
    assert found.isfinite().all()
    found.sum().backward()
    assert view.grad.isfinite().all()


def test_gradients_are_those_of_finite_differences(coffee):
    view = as_tensor(coffee).double()
    view = view[..., :32, :32] + 0.01 * torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    direction = torch.randn(view.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaf = view.clone().requires_grad_(True)
    weights = torch.randn(STATISTICS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (view_statistics(leaf) @ weights).sum().backward()
    step = 1e-7
    ahead, behind = (view_statistics(view + sign * step * direction) @ weights for sign in (1, -1))
    expected = (ahead - behind).item() / (2 * step)
    assert (leaf.grad * direction).sum().item() == pytest.approx(expected, rel=1e-3)


def test_a_view_does_not_depend_on_the_others(coffee):
    first = as_tensor(coffee)
    others = torch.rand(5, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    alone, among = view_statistics(first)[0], view_statistics(torch.cat([others, first]))[-1]
    torch.testing.assert_close(alone, among, rtol=1e-4, atol=1e-4)


def test_quantiles_are_numpys(coffee):
    planes = torch.from_numpy(coffee.astype(np.float32)).permute(2, 0, 1)[None]
    found = statistics._quantiles(planes, (0.0, 0.25, 0.5, 1.0))
    expected = np.quantile(planes[0].flatten(1), [0, 0.25, 0.5, 1], axis=1, method="nearest").T
    np.testing.assert_allclose(found[0], expected, atol=1)


def test_filter_is_a_gaussian_blur(coffee):
    import cv2

    image = coffee.astype(np.float32)
    expected = cv2.GaussianBlur(image, (7, 7), 7 / 6, borderType=cv2.BORDER_REFLECT_101)
    planes = torch.from_numpy(image).permute(2, 0, 1)
    found = statistics._filter(planes, statistics._gaussian(112)).permute(1, 2, 0)
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("side", [4, 7, 8])
def test_periods_show_the_side_of_big_pixels(coffee, side):
    blocky = np.kron(coffee[: 112 // side, : 112 // side], np.ones((side, side, 1), np.uint8))
    luma = as_tensor(blocky).mean(1)
    across, down = (power[0] for power in statistics._periods(luma))
    frequencies = torch.arange(1, len(across) + 1) / (2 * len(across))
    multiples = frequencies * side
    # All power is at multiples of one step in `side` pixels.
    assert (multiples[across.argmax()] % 1).item() == pytest.approx(0, abs=0.1)
    assert (multiples[down.argmax()] % 1).item() == pytest.approx(0, abs=0.1)


def test_spectrum_has_its_power_where_a_wave_is():
    x = torch.arange(112)
    wave = 0.5 + 0.4 * torch.sin(2 * np.pi * 0.2 * x).expand(1, 3, 112, 112)
    (rings,) = statistics._spectrum(wave)
    edges = torch.tensor(statistics._RINGS)
    strongest = int(rings[0, 0].argmax())
    assert edges[strongest] <= 0.2 <= edges[strongest + 1]


def test_alignment_sees_displaced_channels(coffee):
    def best(image):
        planes = statistics._luma_and_chroma(as_tensor(image))
        band = planes - statistics._filter(planes, statistics._gaussian(112))
        in_place, *rings = list(statistics._alignment(band))[:6]
        return in_place.item(), [ring[0, 0].item() for ring in rings]

    aligned, _ = best(coffee)
    shifted = coffee.copy()
    shifted[..., 0] = np.roll(coffee[..., 0], 3, axis=1)  # 3 pixels: in the third range of distances
    displaced, rings = best(shifted)
    assert aligned > 0.8
    assert displaced < 0.5 * aligned
    assert int(np.argmax(rings)) == 2


def test_flatness_counts_equal_neighbours():
    steps = np.repeat(np.repeat(np.arange(0, 224, 8)[None], 112, 0), 4, 1).astype(np.uint8)[..., None]
    planes = statistics._luma_and_chroma(as_tensor(steps.repeat(3, 2)))
    across = next(iter(statistics._flatness(planes)))
    # Of 111 steps between neighbours, the 27 borders of the bands change.
    assert torch.exp(across[0, 0]).item() == pytest.approx(84 / 111, abs=2e-3)


def test_scoring_does_not_stand_in_the_way_of_gradients():
    """What is kept between calls may have been made in inference mode."""
    for kept in vars(statistics).values():
        if hasattr(kept, "cache_clear"):
            kept.cache_clear()
    with torch.inference_mode():
        view_statistics(torch.rand(1, 3, 48, 48))
    view = torch.rand(1, 3, 48, 48, requires_grad=True)
    view_statistics(view).sum().backward()
    assert view.grad.abs().sum() > 0
