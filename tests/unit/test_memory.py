"""The memory that large photographs take: bounded, whatever a folder holds, without changing their scores."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.data.images import pillow_pixels, read_image
from grmp_plugin.data.pixel_room import PixelRoom
from grmp_plugin.data.sources import ArrayImage, FileImage, PillowImage
from grmp_plugin.errors import ImageError
from grmp_plugin.evaluation import scoring
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions
from grmp_plugin.network import resample
from grmp_plugin.network.preprocess import make_pixel_views, make_views

# --- room -----------------------------------------------------------------------------------------


class Decoding:
    """Counts the pixels that threads hold at once."""

    def __init__(self, room):
        self.room, self.held, self.most, self.together = room, 0, 0, 0
        self._inside, self._lock = 0, threading.Lock()

    def __call__(self, pixels):
        with self.room.entry() as reserve:
            reserve(pixels)
            with self._lock:
                self.held += pixels
                self._inside += 1
                self.most, self.together = max(self.most, self.held), max(self.together, self._inside)
            time.sleep(0.002)
            with self._lock:
                self.held -= pixels
                self._inside -= 1
        return pixels


def test_pixels_are_bounded_and_work_goes_on_side_by_side():
    decoding = Decoding(PixelRoom(100))
    sizes = [int(size) for size in np.random.default_rng(0).integers(1, 60, 60)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(decoding, sizes)) == sizes
    assert decoding.most <= 100
    assert decoding.together > 1
    assert decoding.held == 0


def test_what_is_larger_than_the_room_has_it_alone():
    decoding = Decoding(PixelRoom(100))
    sizes = [150, 20, 500, 30, 101] * 4
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decoding, sizes))
    assert decoding.most == 500


def test_room_is_given_back_after_an_error():
    room = PixelRoom(10)
    with suppress(ImageError), room.entry() as reserve:
        reserve(10)
        raise ImageError("damaged")
    with room.entry() as reserve:
        reserve(10)
        reserve(10)  # once for each image: a second try does not wait for itself
    with room.entry():
        pass  # nothing was ever reserved


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_sources_reserve_before_they_decode(tmp_path, name):
    pixels = np.zeros((20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)

    def refuse(count):
        raise ImageError(f"{count} pixels")

    sources = [FileImage(str(tmp_path / name)), ArrayImage("a", pixels)]
    with Image.open(tmp_path / name) as opened:
        for source in [*sources, PillowImage("a", opened)]:
            with pytest.raises(ImageError, match=r"^600 pixels$"):
                source.read(reserve=refuse)


def test_scoring_holds_few_pixels(small_network, tmp_path, monkeypatch):
    paths = []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((50, 60 + number, 3), number, np.uint8)).save(path)
        paths.append(str(path))
    alone = [row.score for row in Scorer(small_network(), ScoringOptions(device="cpu")).score(paths)]
    held, most, lock = 0, [], threading.Lock()

    def slow(pixels, config):
        nonlocal held
        with lock:
            held += pixels.shape[0] * pixels.shape[1]
            most.append(held)
        time.sleep(0.005)
        views = make_pixel_views(pixels, config)
        with lock:
            held -= pixels.shape[0] * pixels.shape[1]
        return views

    monkeypatch.setattr(scoring, "make_pixel_views", slow)
    monkeypatch.setattr(scoring, "_MOST_PIXELS", 7000)
    rows = list(Scorer(small_network(), ScoringOptions(device="cpu", threads=4)).score(paths))
    assert [row.score for row in rows] == pytest.approx(alone, abs=1e-6)
    assert max(most) <= 7000


# --- reduction ------------------------------------------------------------------------------------

CONFIGS = {
    "squash": PreprocessConfig(kind="squash"),
    "crops": PreprocessConfig(kind="crops"),
    "small crops": PreprocessConfig(kind="crops", size=32, short_side=64, scales=(1.0, 0.5, 0.25)),
}
SIZES = [
    (900, 1200),
    (1024, 768),
    (448, 500),
    (100, 90),
    (1, 1),
    (7, 900),
    (30, 4000),
    (448, 448),
    (224, 224),
]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", SIZES)
def test_views_of_pixels_are_those_of_the_float_image(name, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    floats = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    assert torch.equal(make_pixel_views(pixels, CONFIGS[name]), make_views(floats, CONFIGS[name]))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", SIZES)
def test_large_images_differ_by_rounding_at_most(monkeypatch, name, size):
    monkeypatch.setattr(resample, "_SMALL", 0)
    monkeypatch.setattr(resample, "_PIECE", 5000)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    floats = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    difference = (make_pixel_views(pixels, CONFIGS[name]) - make_views(floats, CONFIGS[name])).abs()
    # A value that lies between two levels may fall on either side.
    assert difference.max() < 1.001 / 255
    assert (difference > 1e-3).float().mean() < 2e-4


def test_views_of_turned_and_read_only_arrays(recwarn):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    config = CONFIGS["small crops"]
    expected = make_pixel_views(pixels[::-1].copy(), config)
    assert torch.equal(make_pixel_views(pixels[::-1], config), expected)
    pixels.flags.writeable = False
    make_pixel_views(pixels, config)
    assert not recwarn.list


def test_views_of_nothing():
    with pytest.raises(ImageError, match="no pixels"):
        make_pixel_views(np.zeros((0, 5, 3), np.uint8), CONFIGS["crops"])


# --- bytes a pixel --------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(Image.core, "get_block_size"), reason="Pillow without blocks")
def test_pillows_blocks_are_put_back(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    before, seen = Image.core.get_block_size(), []
    load = Image.Image.load
    monkeypatch.setattr(
        Image.Image, "load", lambda image: seen.append(Image.core.get_block_size()) or load(image)
    )
    read_image(path)
    assert max(seen) >= 64 << 20
    assert Image.core.get_block_size() == before


def test_an_image_without_metadata_is_not_copied(monkeypatch):
    image = Image.new("RGB", (30, 1500), (1, 2, 3))
    monkeypatch.setattr(Image.Image, "copy", lambda self: pytest.fail("copied"))
    assert (pillow_pixels(image) == (1, 2, 3)).all()
