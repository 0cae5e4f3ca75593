"""From images to views, with OpenCV as the oracle of the resampling and coordinates as that of the crops."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.errors import ConfigError, ImageError
from grmp_plugin.network.preprocess import make_views, normalize, resize

SQUASH = PreprocessConfig()
CROPS = PreprocessConfig(kind="crops")
SMALL_CROPS = PreprocessConfig(kind="crops", size=32, short_side=64)
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "china", "flower")
NOISE = {"noise, to be enlarged": (100, 150), "noise, to be reduced": (700, 500), "noise, wide": (60, 1900)}


def photograph(name):
    if name in NOISE:
        return np.random.default_rng(0).integers(0, 256, (*NOISE[name], 3), dtype=np.uint8)
    if name in ("china", "flower"):
        return pytest.importorskip("sklearn.datasets").load_sample_image(f"{name}.jpg")
    return getattr(pytest.importorskip("skimage.data"), name)()


def tensor(image):
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255


def in_8_bit(x):
    levels = x[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(levels - levels.round()).max() < 1e-3
    return levels.round().astype(int)


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, *NOISE])
@pytest.mark.parametrize("size", [(244, 244), (600, 700), (37, 1000)], ids=["244", "larger", "narrow"])
def test_resize_is_opencvs(name, size, record_property):
    """Within one level; METHOD.md allows 0.02% of values to be further off."""
    image = photograph(name)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC).astype(int)
    difference = np.abs(in_8_bit(resize(tensor(image), *size)) - expected)
    shares = [100 * float((difference > level).mean()) for level in (0, 1)]
    record_property("percent_of_values_off_by_one_or_more", shares[0])
    record_property("percent_of_values_off_by_more_than_one", shares[1])
    print(
        f"{name} {size}: largest {difference.max()}, off {shares[0]:.4f}%, by more than one {shares[1]:.4f}%"
    )
    assert shares[1] <= 0.02
    assert difference.max() <= 8
    assert shares[0] <= 0.5  # rounding of halves; a shifted grid or another kernel changes most values


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, *NOISE])
def test_squash_is_the_authors_test_path(name):
    """Squashed to 244 x 244 by OpenCV, rows and columns 10 to 233."""
    image = photograph(name)
    expected = cv2.resize(image, (244, 244), interpolation=cv2.INTER_CUBIC)[10:234, 10:234].astype(int)
    views = make_views(tensor(image), SQUASH)
    assert views.shape == (1, 1, 3, 224, 224)
    difference = np.abs(in_8_bit(views[:, 0]) - expected)
    assert (difference > 1).mean() <= 0.0002


def test_nothing_changes_where_nothing_is_resampled():
    image = torch.rand(2, 3, 244, 244)
    assert resize(image, 244, 244) is image
    assert torch.equal(make_views(image, SQUASH)[:, 0], image[..., 10:234, 10:234])


@pytest.mark.parametrize("side", [224, 225, 226, 244, 256])
def test_crop_is_central(side):
    config = dataclasses.replace(SQUASH, resize=side)
    rows = torch.arange(side, dtype=torch.float32).view(1, 1, side, 1).expand(1, 3, side, side) / 255
    view = make_views(rows, config)[0, 0]
    assert view[0, 0, 0] * 255 == (side - 224) // 2
    columns = make_views(rows.transpose(-1, -2), config)[0, 0]
    assert columns[0, 0, 0] * 255 == (side - 224) // 2
    assert view.shape == columns.shape == (3, 224, 224)


def test_resize_clamps_overshoot():
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    free = F.interpolate(edge, (50, 50), mode="bicubic", align_corners=False)
    assert free.min() < -0.05
    assert free.max() > 1.05
    clamped = resize(edge, 50, 50)
    assert clamped.min() == 0
    assert clamped.max() == 1


@pytest.mark.parametrize("antialias", [False, True])
def test_gradient_passes_straight_through_the_rounding(antialias):
    """It is the resampling's own, also where the result was clamped: white stays improvable."""
    generator = torch.Generator().manual_seed(0)
    image = (1.4 * torch.rand(1, 3, 31, 45, generator=generator, dtype=torch.float64) - 0.2).clamp(0, 1)
    weights = torch.randn(1, 3, 24, 24, generator=generator, dtype=torch.float64)

    def gradient(function):
        x = image.clone().requires_grad_()
        (weights * function(x)).sum().backward()
        return x.grad

    def unrounded(x):
        return F.interpolate(x, (24, 24), mode="bicubic", align_corners=False, antialias=antialias)

    overshoot = unrounded(image)
    assert overshoot.max() > 1
    assert overshoot.min() < 0
    found = gradient(lambda x: resize(x, 24, 24, antialias=antialias))
    torch.testing.assert_close(found, gradient(unrounded), rtol=0, atol=1e-12)
    assert found.abs().max() > 0


def test_result_is_whole_levels_of_8_bit():
    x = resize(torch.rand(1, 3, 50, 60, dtype=torch.float64), 33, 91)
    levels = x * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("config", [SQUASH, SMALL_CROPS], ids=["squash", "crops"])
def test_precision_of_images(config):
    image = torch.rand(2, 3, 50, 70, dtype=torch.float64)
    assert make_views(image, config).dtype == torch.float64
    assert make_views(image.float(), config).dtype == torch.float32
    for dtype in (torch.float16, torch.bfloat16):
        views = make_views(image.to(dtype), config)
        assert views.dtype == torch.float32
        assert torch.equal(views, make_views(image.to(dtype).float(), config))
    # Levels in between those of 8 bit are taken as they are; only the result is rounded.
    difference = (make_views(image.float(), config).double() - make_views(image, config)).abs()
    assert (difference > 1e-6).double().mean() < 1e-3
    coarse = make_views((image * 255).round() / 255, config)
    assert (coarse - make_views(image, config)).abs().max() <= 3 / 255


@pytest.mark.parametrize("config", [SQUASH, SMALL_CROPS], ids=["squash", "crops"])
def test_images_do_not_mix_and_are_left_alone(config):
    images = torch.rand(3, 3, 45, 80)
    before = images.clone()
    views = make_views(images, config)
    assert torch.equal(images, before)
    for i in range(3):
        torch.testing.assert_close(make_views(images[i : i + 1], config), views[i : i + 1], rtol=0, atol=0)
    # Not contiguous: rows and columns swapped in memory.
    swapped = images.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert (make_views(swapped, config) - views).abs().max() <= 1.01 / 255
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert (make_views(channels_last, config) - views).abs().max() <= 1.01 / 255


def test_normalize():
    views = torch.rand(2, 3, 3, 8, 8)
    found = normalize(views, SQUASH)
    for i, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        torch.testing.assert_close(found[:, :, i], (views[:, :, i] - mean) / std)
    assert normalize(views.double(), SQUASH).dtype == torch.float64
    other = dataclasses.replace(SQUASH, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert torch.equal(normalize(views, other), views)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(1, 3, 0, 5), torch.zeros(3, 5, 5), torch.ones(1, 3, 5, 5, dtype=torch.uint8)]
)
@pytest.mark.parametrize("config", [SQUASH, CROPS], ids=["squash", "crops"])
def test_what_is_no_image_is_refused(config, wrong):
    with pytest.raises(ImageError):
        make_views(wrong, config)


# --- crops ----------------------------------------------------------------------------------------


def spans(height, width, config):
    """Of every view, the part of the image that it shows: (top, bottom, left, right) as fractions."""
    y = torch.linspace(0, 1, height, dtype=torch.float64) if height > 1 else torch.full((1,), 0.5)
    x = torch.linspace(0, 1, width, dtype=torch.float64) if width > 1 else torch.full((1,), 0.5)
    image = torch.stack(
        [y[:, None].expand(height, width), x[None].expand(height, width), torch.zeros(height, width)]
    )
    views = make_views(image[None].double(), config)[0]
    assert views.shape[1:] == (3, config.size, config.size)
    edges = [(v[0, 0].mean(), v[0, -1].mean(), v[1, :, 0].mean(), v[1, :, -1].mean()) for v in views]
    # Rows and columns run straight and forwards in every view.
    assert all((v[0].diff(dim=0) >= -1e-9).all() and (v[1].diff(dim=1) >= -1e-9).all() for v in views)
    return np.array([[float(e) for e in edge] for edge in edges])


SIZES = [
    (1, 1),
    (1, 500),
    (31, 31),
    (32, 32),
    (33, 40),
    (64, 64),
    (80, 60),
    (20, 900),
    (900, 20),
    (700, 1000),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grid", [1, 2, 3])
def test_number_of_crops_does_not_depend_on_the_image(size, grid):
    for scales in ((1.0,), (1.0, 0.5), (1.0, 0.7, 0.4)):
        config = dataclasses.replace(SMALL_CROPS, grid=grid, scales=scales)
        views = make_views(torch.rand(2, 3, *size), config)
        assert views.shape == (2, len(scales) * grid * grid, 3, 32, 32)
        assert ((views >= 0) & (views <= 1)).all()


@pytest.mark.parametrize("size", SIZES)
def test_crops_are_spread_evenly_about_the_centre(size):
    found = spans(*size, SMALL_CROPS)
    assert (found >= 0).all()
    assert (found <= 1).all()
    for level in (found[:4], found[4:]):
        centres = np.stack([level[:, :2].mean(axis=1), level[:, 2:].mean(axis=1)], axis=1)
        # Half a pixel of the reduced image and half a level of 8 bit are lost in rounding.
        np.testing.assert_allclose(centres.mean(axis=0), 0.5, atol=0.02)
        rows, columns = np.unique(centres[:, 0].round(3)), np.unique(centres[:, 1].round(3))
        assert len(rows) <= 2
        assert len(columns) <= 2


def test_crops_of_an_image_as_small_as_a_view_are_the_whole_image():
    image = torch.rand(1, 3, 32, 32)
    for view in make_views(image, SMALL_CROPS)[0]:
        assert torch.equal(view, image[0])


def test_tiny_images_are_enlarged_to_one_view():
    tiny = torch.rand(1, 3, 1, 1)
    for view in make_views(tiny, SMALL_CROPS)[0]:
        torch.testing.assert_close(view, (tiny[0] * 255).round().div(255).expand(3, 32, 32))
    small = torch.rand(1, 3, 16, 16)
    enlarged = resize(small, 32, 32)
    for view in make_views(small, SMALL_CROPS)[0]:
        assert torch.equal(view, enlarged[0])


def test_image_of_the_reduced_size_is_cut_and_not_resampled():
    image = torch.rand(1, 3, 64, 64)
    views = make_views(image, SMALL_CROPS)[0]
    # 64 - 32 = 32 free pixels: a quarter and three quarters of them.
    for view, (top, left) in zip(views[:4], [(8, 8), (8, 24), (24, 8), (24, 24)], strict=True):
        assert torch.equal(view, image[0, :, top : top + 32, left : left + 32])
    half = F.interpolate(image, (32, 32), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    assert (views[4:] - half).abs().max() <= 0.51 / 255


@pytest.mark.parametrize("size", [(64, 64), (480, 640), (667, 1000), (500, 1000)])
def test_ordinary_images_are_covered_by_the_coarse_level(size):
    """The short side whole, the long side without a gap but for margins of half a step: 1/8 each at 2:1."""
    (top, bottom, left, right) = spans(*size, SMALL_CROPS)[4:].T
    assert (top <= 0.02).all()
    assert (bottom >= 0.98).all()
    assert left.max() <= right.min() + 0.02  # the right crop begins before the left one ends
    margin = (1 - min(size) / max(size)) / 4
    assert left.min() <= margin + 0.03
    assert right.max() >= 1 - margin - 0.03


@pytest.mark.parametrize("size", [(64, 640), (640, 64)])
def test_very_wide_and_very_tall_images_are_seen_on_both_sides_of_the_middle(size):
    found = spans(*size, SMALL_CROPS)
    long = found[:, 2:] if size[1] > size[0] else found[:, :2]
    for level in (long[:4], long[4:]):
        assert level[:, 1].min() < 0.5 < level[:, 0].max()


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
@pytest.mark.parametrize("config", [SQUASH, CROPS], ids=["squash", "crops"])
def test_extremely_long_images_do_not_need_extreme_memory(config, size, monkeypatch):
    """Eight views of a file of some kB: 224 x 4,480,000 pixels on the way there would take 12 GB."""
    interpolate = F.interpolate

    def checked(x, size, **options):
        assert size[0] * size[1] <= 50e6, f"{size[0]} x {size[1]} pixels"
        return interpolate(x, size, **options)

    monkeypatch.setattr(F, "interpolate", checked)
    assert make_views(torch.rand(1, 3, *size), config).shape[2:] == (3, 224, 224)


def test_large_images_are_reduced_with_a_low_pass():
    """Stripes too fine for the reduced image become grey rather than false coarse stripes."""
    stripes = (torch.arange(1024) % 2).float().view(1, 1, 1, 1024).expand(1, 3, 1024, 1024)
    assert make_views(stripes, SMALL_CROPS).std() < 0.02


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kind": "stretch"}, "stretch"),
        ({"resize": 200}, "200"),
        ({"size": 0}, "at least 1"),
        ({"kind": "crops", "grid": 0}, "at least 1"),
        ({"kind": "crops", "scales": ()}, "scales"),
        ({"kind": "crops", "scales": (1.0, 0.0)}, "scales"),
        ({"kind": "crops", "scales": (1.5,)}, "scales"),
    ],
)
def test_configurations_that_cannot_work(options, named):
    with pytest.raises(ConfigError, match=named):
        PreprocessConfig(**options)
