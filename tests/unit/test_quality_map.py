"""Quality maps: their grid, what they depend on, and whether they are low where a photograph is degraded."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

from grmp_plugin.errors import GRMPError, ImageError
from grmp_plugin.evaluation import quality_map as module
from grmp_plugin.evaluation.overlay import overlay
from grmp_plugin.evaluation.quality_map import QualityMap, Windows, quality_map
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions, image_tensor
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.preprocess import make_views
from grmp_plugin.synthetic.distortions import distort

# Widths and heights around the small networks' views (32) and their largest short side (64).
SHAPES = [(1, 1), (1, 90), (7, 300), (31, 33), (32, 32), (64, 64), (97, 61), (150, 402), (601, 455)]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny():
    return GRMPIQA("grmp_iqa-tiny").requires_grad_(False)


class Brightness:
    """Stands in for a network: the quality of a view is its mean."""

    def __init__(self, network):
        self.config, self.clip, self.views = network.config, network.clip, 0

    def score_views(self, views):
        self.views += len(views)
        return views.mean((1, 2, 3, 4))[:, None]


@pytest.mark.parametrize("kind", ["squash", "crops"])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_any_image_has_a_map(small_network, kind, height, width):
    found = quality_map(small_network(kind=kind), noise(height, width))
    assert (found.height, found.width) == (height, width)
    assert found.values.dtype == np.float64
    assert np.all((found.values > 0) & (found.values < 1))
    assert 1 <= found.window <= min(height, width)
    cells = np.array(found.values.shape)
    # Four cells a window, in both directions.
    assert np.all(np.abs(cells - np.array([height, width]) * 4 / found.window) < 1.5)


@pytest.mark.parametrize("kind", ["squash", "crops"])
def test_the_cost_is_bounded(small_network, kind):
    photograph, strip = (Brightness(small_network(kind=kind)) for _ in range(2))
    quality_map(photograph, noise(600, 800))
    assert photograph.views <= 40
    found = quality_map(strip, noise(4, 9000))
    assert strip.views <= module.MAX_WINDOWS
    assert found.values.shape[1] == 9000


@pytest.mark.parametrize("kind", ["squash", "crops"])
def test_it_does_not_depend_on_the_batch(small_network, kind):
    network, image = small_network(kind=kind), noise(97, 140)
    whole = quality_map(network, image, batch_size=1000).values
    for size in (1, 7):
        assert np.allclose(quality_map(network, image, batch_size=size).values, whole, atol=1e-6, rtol=0)


def test_a_fresh_network_gives_the_same_map(small_network, fresh):
    network, image = small_network(), noise(80, 120)
    before = image.copy()
    first = quality_map(network, image).values
    assert np.array_equal(first, quality_map(network, image).values)
    assert np.array_equal(first, quality_map(fresh(network), image).values)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("kind", ["squash", "crops"])
def test_a_flat_image_has_a_flat_map(small_network, kind):
    values = quality_map(small_network(kind=kind), np.full((90, 130, 3), 120, np.uint8)).values
    assert np.ptp(values) < 1e-6


def test_a_single_window_is_scored_as_the_network_scores_it(small_network):
    """Where the image is no larger than a view, the map is its score everywhere."""
    network, image = small_network(), noise(32, 32)
    values = quality_map(network, image).values
    assert np.allclose(values, network(image_tensor(image)).item(), atol=1e-6)


def test_windows_are_the_views_of_the_finest_scale(small_network):
    config = replace(small_network(kind="crops").config.preprocess, grid=1, scales=(1.0,))
    image = image_tensor(noise(200, 200))
    windows = Windows(image, config)
    views = torch.cat(list(windows.batches(5)))
    middle = len(windows.tops) // 2
    assert len(windows.tops) % 2 == 1
    assert torch.equal(views[middle * len(windows.lefts) + middle], make_views(image, config)[0])


@pytest.mark.parametrize("kind", ["squash", "crops"])
@pytest.mark.parametrize("bright", [np.s_[:, :120], np.s_[:, 120:], np.s_[:80], np.s_[80:], np.s_[80:, :120]])
def test_places_are_where_they_are(small_network, kind, bright):
    image = np.full((160, 240, 3), 30, np.uint8)
    image[bright] = 220
    values = quality_map(Brightness(small_network(kind=kind)), image).values
    laid = np.asarray(
        Image.fromarray(values.astype(np.float32)).resize((240, 160), Image.Resampling.BILINEAR)
    )
    inside = np.zeros((160, 240), bool)
    inside[bright] = True
    assert np.mean((laid > 125 / 255) == inside) > 0.93
    assert np.isclose(laid[inside].max(), 220 / 255, atol=0.01)
    assert np.isclose(laid[~inside].min(), 30 / 255, atol=0.01)


def test_a_scorers_network_may_be_in_reduced_precision(small_checkpoint):
    image = noise(80, 100)
    full, reduced = (
        quality_map(
            Scorer(GRMPIQA(small_checkpoint()), ScoringOptions(device="cpu", precision=p)).network, image
        )
        for p in ("fp32", "bf16")
    )
    assert np.allclose(full.values, reduced.values, atol=0.02)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 0, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        "a.png",
    ],
)
def test_no_image_is_said_so(small_network, image):
    with pytest.raises(ImageError, match="expected an image"):
        quality_map(small_network(), image)


def test_scores_that_are_not_finite_are_said_so(small_network):
    network = Brightness(small_network())
    network.score_views = lambda views: torch.full((len(views), 1), torch.nan)
    with pytest.raises(GRMPError, match="fp32"):
        quality_map(network, noise(40, 40))


def quarters(values):
    """Means of the left and the right half of the upper half, then of the lower."""
    rows, columns = (side // 2 for side in values.shape)
    return [
        half.mean()
        for row in (values[:rows], values[-rows:])
        for half in (row[:, :columns], row[:, -columns:])
    ]


@pytest.mark.parametrize("kind", ["white_noise", "jpeg", "lens_blur"])
def test_a_degraded_left_half_is_lower(tiny, kind):
    image = data.coffee().copy()
    before = quality_map(tiny, image).values
    image[:, :300] = distort(image[:, :300], kind, 5, 0)
    after = quality_map(tiny, image).values
    columns = after.shape[1] // 2
    assert after[:, :columns].mean() < after[:, -columns:].mean() - 0.1
    # What lies farther than a window from the degraded half has the same views as before.
    far = after.shape[1] - columns + 4
    assert np.allclose(before[:, far:], after[:, far:], atol=1e-5)


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("name", ["coffee", "china"])
def test_degraded_quarters_of_photographs_are_found(tiny, name, quarter):
    """A part of tests/benchmarks/quality_maps.py."""
    photograph = {"coffee": data.coffee, "china": lambda: load_sample_image("china.jpg")}[name]()
    height, width = (side // 2 for side in photograph.shape[:2])
    top, left = quarter // 2 * height, quarter % 2 * width
    place = np.s_[top : top + height, left : left + width]
    before = quarters(quality_map(tiny, photograph).values)
    falls = []
    for kind in ("gaussian_blur", "white_noise", "jpeg", "impulse_noise"):
        image = photograph.copy()
        image[place] = distort(image[place], kind, 5, 0)
        after = quarters(quality_map(tiny, image).values)
        change = np.subtract(after, before)
        falls.append(change[quarter] < np.delete(change, quarter).min() - 0.05)
    assert sum(falls) >= 3, (name, quarter, falls)


@pytest.mark.parametrize("width", [320, 640, 901])
@pytest.mark.parametrize(("height", "length"), [(90, 120), (120, 90), (3, 900), (900, 3)])
def test_an_overlay_has_the_width_asked_for(width, height, length):
    quality = QualityMap(np.linspace(0, 1, 12).reshape(3, 4), height, length, 30.0)
    picture = overlay(noise(height, length), quality, width)
    assert picture.mode == "RGB"
    assert picture.width == width
    assert 0.1 * width < picture.height < 4.5 * width


def test_an_overlay_is_brighter_where_quality_is_higher():
    """In print and to any eyes, on light and on dark photographs."""
    values = np.repeat(np.linspace(0, 1, 24)[None], 12, axis=0)
    for grey in (0, 128, 255):
        image = np.full((100, 200, 3), grey, np.uint8)
        picture = overlay(image, QualityMap(values, 100, 200, 30.0), 400)
        row = np.asarray(picture.convert("L"), dtype=float)[100]
        steps = row[10:390:20]
        assert np.all(np.diff(steps) > 0)


def test_an_overlay_means_the_same_colours_in_every_map():
    image = np.full((100, 100, 3), 128, np.uint8)
    low, wide = np.full((4, 4), 0.25), np.full((4, 4), 0.25)
    wide[0] = 1.0
    pictures = [overlay(image, QualityMap(v, 100, 100, 25.0), 400) for v in (low, wide)]
    assert pictures[0].getpixel((200, 390)) == pictures[1].getpixel((200, 390))
    assert pictures[0].getpixel((200, 10)) != pictures[1].getpixel((200, 10))
