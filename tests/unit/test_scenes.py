"""The drawn scenes: reproducible, varied, and with the low-level statistics of photographs."""

import hashlib

import cv2
import numpy as np
import pytest

from grmp_plugin.errors import InputError
from grmp_plugin.synthetic.scenes import SCENES, draw_scene

SIDE = 160


def spectrum_slope(picture: np.ndarray) -> float:
    """Slope of the radially averaged log amplitude spectrum over log frequency, of a square picture."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)
    side = grey.shape[0]
    window = np.outer(np.hanning(side), np.hanning(side))
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2((grey - grey.mean()) * window)))
    rows, columns = np.indices(amplitude.shape) - side // 2
    radius = np.hypot(rows, columns).astype(int).ravel()
    mean = np.bincount(radius, amplitude.ravel()) / np.bincount(radius)
    frequency = np.arange(4, int(0.45 * side))
    return float(np.polyfit(np.log(frequency), np.log(mean[frequency] + 1e-6), 1)[0])


@pytest.mark.parametrize("kind", SCENES)
def test_every_kind_draws_the_asked_size_with_some_contrast(kind):
    for height, width in ((97, 131), (64, 33)):
        picture = draw_scene(kind, 3, height, width)
        assert picture.shape == (height, width, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 4


@pytest.mark.parametrize("kind", SCENES)
def test_same_seed_gives_the_same_bytes_and_another_seed_another_picture(kind):
    first, again, other = (draw_scene(kind, seed, 72, 80) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 4


def test_the_number_of_opencv_threads_does_not_matter():
    threads = cv2.getNumThreads()
    digests = set()
    try:
        for count in (1, 2):
            cv2.setNumThreads(count)
            pictures = [draw_scene(kind, 11, 96, 96) for kind in SCENES]
            digests.add(hashlib.sha256(np.stack(pictures).tobytes()).hexdigest())
    finally:
        cv2.setNumThreads(threads)
    assert len(digests) == 1


def test_global_random_state_neither_matters_nor_changes():
    np.random.seed(0)  # noqa: NPY002 - tests that the legacy state does not matter
    before = draw_scene("plant", 1, 64, 64)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(before, draw_scene("plant", 1, 64, 64))
    np.random.seed(0)  # noqa: NPY002
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(InputError, match=r"'zebra'.*animal.*still_life"):
        draw_scene("zebra", 0)


@pytest.mark.parametrize(("height", "width"), [(31, 64), (64, 8), (0, 0)])
def test_too_small_sizes_are_refused(height, width):
    with pytest.raises(InputError, match="32"):
        draw_scene("night", 0, height, width)


def test_negative_seed_is_refused():
    with pytest.raises(InputError, match="-1"):
        draw_scene("night", -1)


def test_spectra_fall_like_those_of_photographs():
    slopes = [spectrum_slope(draw_scene(kind, seed, SIDE, SIDE)) for kind in SCENES for seed in range(3)]
    assert -1.6 < np.mean(slopes) < -0.7


def test_night_is_darker_than_landscape():
    night, day = (
        [draw_scene(kind, seed, 96, 96).mean() for seed in range(8)] for kind in ("night", "landscape")
    )
    assert np.mean(night) < 0.6 * np.mean(day)
    assert 60 < np.mean(day) < 190
    assert np.mean(night) > 8
