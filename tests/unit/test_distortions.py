"""The bank of synthetic distortions: contract, determinism, and severity on photographs."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from grmp_plugin.errors import InputError
from grmp_plugin.synthetic import distortions
from grmp_plugin.synthetic.distortions import DISTORTIONS, Distortion, distort, distortion_table

LEVELS = (1, 2, 3, 4, 5)
# Noise, so that each kind has edges, colours and all grey values to work on.
SMALL = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)

every_kind = pytest.mark.parametrize("name", DISTORTIONS)


@pytest.fixture(scope="module")
def photographs():
    astronaut = pytest.importorskip("skimage.data").astronaut()
    china = pytest.importorskip("sklearn.datasets").load_sample_image("china.jpg")
    return {"astronaut": astronaut[0:256, 96:352], "china": china[100:356, 200:456]}


def test_bank_holds_enough_kinds_and_levels():
    assert len(DISTORTIONS) >= 28
    assert len({kind.describe for kind in DISTORTIONS.values()}) == len(DISTORTIONS)
    for name, kind in DISTORTIONS.items():
        assert isinstance(kind, Distortion)
        assert kind.name == name
        assert len(kind.levels) == len(LEVELS)
        steps = np.diff(kind.levels)
        assert (steps > 0).all() or (steps < 0).all()


def test_bank_is_read_only():
    with pytest.raises(TypeError):
        DISTORTIONS["jpeg"] = None


def test_table_lists_every_kind():
    lines = distortion_table().splitlines()
    assert len(lines) == 2 + len(DISTORTIONS)
    assert lines[0] == "| name | family | parameter | 1 | 2 | 3 | 4 | 5 |"
    assert "| gaussian_blur | blur | standard deviation in pixels | 0.8 | 1.3 | 2 | 3.2 | 5 |" in lines


@every_kind
def test_same_arguments_give_same_bytes_and_leave_the_input_alone(name):
    image = SMALL.copy()
    first = distort(image, name, 4, seed=7)
    # Neither the global generator nor intermediate calls may matter.
    np.random.seed(1)  # noqa: NPY002
    distort(image, name, 2, seed=8)
    assert np.array_equal(first, distort(image, name, 4, seed=7))
    assert np.array_equal(image, SMALL)
    assert not np.shares_memory(image, first)


@every_kind
def test_threads_of_opencv_do_not_matter(name, photographs):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        single = distort(photographs["china"], name, 4, seed=0)
        cv2.setNumThreads(2)
        assert np.array_equal(single, distort(photographs["china"], name, 4, seed=0))
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.parametrize(
    "name", ["white_noise", "jitter", "warp", "block_loss", "motion_blur", "colour_cast"]
)
def test_seed_changes_the_pattern(name):
    assert not np.array_equal(distort(SMALL, name, 3, seed=1), distort(SMALL, name, 3, seed=2))


@every_kind
@pytest.mark.parametrize("size", [(8, 8), (37, 53), (9, 130), (64, 8)])
def test_shape_and_dtype_stay(name, size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    for level in LEVELS:
        distorted = distort(image, name, level, seed=0)
        assert distorted.shape == image.shape
        assert distorted.dtype == np.uint8
        assert distorted.flags.c_contiguous


@every_kind
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_flat_pictures_are_no_special_case(name, grey):
    image = np.full((16, 24, 3), grey, np.uint8)
    with np.errstate(all="raise"):
        assert distort(image, name, 5, seed=0).shape == image.shape


@every_kind
def test_views_give_the_bytes_of_copies(name):
    view = SMALL[:, ::-1]
    assert np.array_equal(distort(view, name, 3, seed=0), distort(view.copy(), name, 3, seed=0))


@every_kind
@pytest.mark.parametrize("photograph", ["astronaut", "china"])
def test_error_on_photographs_grows_with_level(name, photograph, photographs):
    image = photographs[photograph].astype(np.float64)
    errors, correlation = [], 0.0
    for level in LEVELS:
        distorted = distort(photographs[photograph], name, level, seed=3).astype(np.float64)
        errors.append(np.abs(distorted - image).mean())
        correlation = np.corrcoef(distorted.ravel(), image.ravel())[0, 1]
    assert errors[0] > 0.05
    assert errors[0] < errors[2] < errors[4]
    # The picture stays recognisable at level 5.
    assert errors[4] < 110
    assert correlation > 0.45


def test_gaussian_blur_is_that_of_scipy(photographs):
    filters = pytest.importorskip("scipy.ndimage")
    sigma = DISTORTIONS["gaussian_blur"].levels[2]
    image = photographs["china"]
    expected = filters.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0), mode="mirror")
    assert np.abs(distort(image, "gaussian_blur", 3, seed=0) - expected).max() < 2


@pytest.mark.parametrize("level", LEVELS)
def test_white_noise_has_the_deviation_of_the_table(level):
    grey = np.full((128, 128, 3), 128, np.uint8)
    deviation = distort(grey, "white_noise", level, seed=0).astype(np.float64).std()
    # Clipping slightly reduces the strongest level.
    assert deviation == pytest.approx(DISTORTIONS["white_noise"].levels[level - 1], rel=0.05)


@pytest.mark.parametrize("level", LEVELS)
def test_palette_has_the_colours_of_the_table(level, photographs):
    distorted = distort(photographs["astronaut"], "colour_quantization", level, seed=0)
    colours = len(np.unique(distorted.reshape(-1, 3), axis=0))
    assert colours <= DISTORTIONS["colour_quantization"].levels[level - 1]


def test_greyed_picture_has_no_colour(photographs):
    grey = distort(photographs["astronaut"], "saturation_decrease", 5, seed=0).astype(int)
    assert np.ptp(grey, axis=2).max() <= 1


def test_impulses_of_a_level_include_those_of_the_level_below():
    grey = np.full((64, 64, 3), 128, np.uint8)
    hit = [distort(grey, "impulse_noise", level, seed=5) != 128 for level in LEVELS]
    for mild, strong in itertools.pairwise(hit):
        assert (strong | ~mild).all()


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match=r"'gausian_blur'.*Did you mean 'gaussian_blur'\?"):
        distort(SMALL, "gausian_blur", 1, seed=0)
    with pytest.raises(InputError, match="Known: gaussian_blur, "):
        distort(SMALL, "zzzz", 1, seed=0)


@pytest.mark.parametrize("level", [0, 6, -1, 2.0, "3"])
def test_level_outside_the_scale(level):
    with pytest.raises(InputError, match=f"level is {level!r}, expected an integer from 1"):
        distort(SMALL, "jpeg", level, seed=0)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_invalid_seed(seed):
    with pytest.raises(InputError, match="non-negative"):
        distort(SMALL, "jpeg", 1, seed=seed)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (SMALL.astype(np.float32), "dtype float32, expected uint8"),
        (SMALL[..., 0], r"shape \(37, 53\), expected \(H, W, 3\)"),
        (np.zeros((16, 16, 4), np.uint8), r"shape \(16, 16, 4\)"),
        (np.zeros((7, 16, 3), np.uint8), "H and W >= 8"),
        ([[1, 2], [3, 4]], "is a list, expected a numpy array"),
    ],
)
def test_invalid_image(image, message):
    with pytest.raises(InputError, match=message):
        distort(image, "jpeg", 1, seed=0)


def test_documented_levels_are_the_real_ones():
    folder = Path(distortions.__file__).parent
    assert distortion_table().strip() in (folder / "README.md").read_text(encoding="utf-8")
