"""The memory that large photographs take: bounded, whatever a folder holds, without changing their scores."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.data import pixel_room
from grmp_plugin.data.images import pillow_pixels, read_image
from grmp_plugin.data.learned_images import digests_of_files
from grmp_plugin.data.pixel_room import PixelRoom
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.sources import ArrayImage, FileImage, PillowImage
from grmp_plugin.errors import ImageError
from grmp_plugin.evaluation import scoring
from grmp_plugin.evaluation.metric_scores import _Files
from grmp_plugin.evaluation.pixel_digests import PixelDigests
from grmp_plugin.evaluation.score_cache import ScoreCache
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions
from grmp_plugin.network import resample
from grmp_plugin.network.preprocess import make_pixel_views, make_training_views, make_views, pixel_tensor
from grmp_plugin.synthetic.tasks import RatedTasks
from grmp_plugin.training.rated_views import RatedViews

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
    monkeypatch.setattr(pixel_room, "_room", PixelRoom(7000))
    rows = list(Scorer(small_network(), ScoringOptions(device="cpu", threads=4)).score(paths))
    assert [row.score for row in rows] == pytest.approx(alone, abs=1e-6)
    assert max(most) <= 7000


@pytest.fixture
def room(monkeypatch):
    """A room of 7000 pixels for the whole process; its `taken` lists what was reserved, `most` at once."""

    class Recording(PixelRoom):
        taken: ClassVar[list[int]] = []
        most = 0

        def _take(self, pixels):
            super()._take(pixels)
            self.taken.append(pixels)
            self.most = max(self.most, self._used.value)
            time.sleep(0.002)

    Recording.taken = []
    monkeypatch.setattr(pixel_room, "_room", Recording(7000))
    return pixel_room._room


@pytest.fixture
def files(tmp_path):
    """Twelve images of a naming scheme with their sizes in pixels: none is alone in a room of 7000."""
    sizes = {}
    for number in range(12):
        path = tmp_path / f"I{number % 3 + 1:02d}_01_{number // 3 + 1:02d}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (50, 60 + number, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        sizes[str(path)] = 50 * (60 + number)
    return sizes


def rated_views(files):
    return list(RatedViews(files, np.zeros(12), CONFIGS["small crops"]).problems())


def shots(files):
    images = RatedViews(files, np.zeros(12), CONFIGS["small crops"], training_views=3)
    return images.batch(range(12))


def digests(files):
    return digests_of_files(files)


def digests_while_comparing(files):
    with_cache = PixelDigests(ScoreCache())
    with_cache.complete({path: path for path in files}, lambda progress: None)
    return [with_cache.get(path) for path in files]


def metrics(files):
    decoded = _Files(list(files), None, None).decoded(range(12), False)
    return [image.shape for _, image, _ in decoded]


def tasks(files):
    return RatedTasks(Ratings("kadid", tuple(files), np.arange(12.0)), "kadid").draw("01", 0)


@pytest.mark.parametrize(
    "read", [rated_views, shots, digests, digests_while_comparing, metrics, tasks], ids=lambda f: f.__name__
)
def test_all_threads_that_decode_share_one_room(room, files, read, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert read(files)
    assert sorted(room.taken) == sorted(files.values())
    assert max(room.taken) < room.most <= 7000  # several at once, and not too many
    with room.entry() as reserve:
        reserve(7000)  # all of it was given back


def test_images_and_references_are_decoded_one_by_one(room, files):
    """A thread that held room for an image while it waits for that of its reference could wait for ever."""
    references = list(reversed(files))
    decoded = _Files(list(files), references, None).decoded(range(12), True)
    assert sum(1 for _ in decoded) == 12
    assert sorted(room.taken) == sorted([*files.values()] * 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_the_whole_room():
    """A data loader's worker may begin while a thread decodes, which does not go on in the worker."""
    with pixel_room.decoding() as reserve:
        reserve(pixel_room.MOST_PIXELS)
        child = os.fork()
        if not child:
            with pixel_room.decoding() as again:
                again(pixel_room.MOST_PIXELS)
            os._exit(7)
        for _ in range(500):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.01)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("it waits for room")
        assert os.waitstatus_to_exitcode(status) == 7


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


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", SIZES)
def test_training_views_of_pixels_are_those_of_the_float_image(name, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    floats = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    found = make_training_views(pixel_tensor(pixels), CONFIGS[name], 6, 5)
    assert torch.equal(found, make_training_views(floats, CONFIGS[name], 6, 5))


@pytest.mark.parametrize("training_views", [None, 4])
@pytest.mark.parametrize("name", CONFIGS)
def test_rated_images_are_never_floats_as_a_whole(monkeypatch, tmp_path, name, training_views):
    monkeypatch.setattr(resample, "_SMALL", 0)
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    largest, as_floats = [], torch.Tensor.float
    monkeypatch.setattr(torch.Tensor, "float", lambda t: largest.append(t.numel()) or as_floats(t))
    RatedViews([str(tmp_path / "a.bmp")], np.zeros(1), CONFIGS[name], training_views=training_views).views(0)
    assert max(largest) < pixels.size / 4


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


# In a process of its own: one that ran other tests has free memory, which hides what is taken.
PEAKS = """
import re, sys
from pathlib import Path
from grmp_plugin.config import PreprocessConfig
from grmp_plugin.data.images import read_image
from grmp_plugin.network.preprocess import make_pixel_views

config, process = PreprocessConfig(kind="squash"), Path("/proc/self")

def status(name):
    return int(re.search(rf"{name}:\\s+(\\d+) kB", process.joinpath("status").read_text())[1]) * 1024

make_pixel_views(read_image(sys.argv[1]), config)  # what is loaded once
for file in sys.argv[2:]:
    process.joinpath("clear_refs").write_text("5")  # forgets the peak so far
    before = status("VmRSS")
    make_pixel_views(read_image(file), config)
    print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_decoded_at_once_takes_about_a_gigabyte(tmp_path):
    """The room in pixels, times what a pixel takes while it is decoded and reduced."""
    height, width = 4000, 6000
    rows = np.tile(np.arange(200, dtype=np.uint8)[:, None, None], (height // 200, width, 3))
    files = [tmp_path / name for name in ("small.jpg", "a.jpg", "a.tif")]
    Image.fromarray(rows[:300, :400]).save(files[0])
    for file in files[1:]:
        Image.fromarray(rows).save(file)
    done = subprocess.run([sys.executable, "-c", PEAKS, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for taken in map(int, done.stdout.split()):
        a_pixel = taken / (height * width)
        assert 3 < a_pixel < 11
        assert a_pixel * pixel_room.MOST_PIXELS < 1.1e9
    assert len(done.stdout.split()) == 2


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
