"""Tasks of the meta-learning: rated data sets by distortion, and pristine pictures distorted on the fly."""

import dataclasses
import multiprocessing
import pickle
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from PIL import Image

from grmp_plugin.data.images import pixels_digest, read_image
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.errors import ImageError, InputError
from grmp_plugin.synthetic import tasks as module
from grmp_plugin.synthetic.distortions import DISTORTIONS, distort
from grmp_plugin.synthetic.pictures import DrawnPictures, PictureFiles
from grmp_plugin.synthetic.pseudo_mos import pseudo_mos
from grmp_plugin.synthetic.scenes import SCENES, draw_scene
from grmp_plugin.synthetic.tasks import DistortedTasks, RatedTasks, drawn_tasks, pristine_tasks

LEVELS = (1, 2, 3, 4, 5)


def write(path: Path, height: int, width: int, seed: int = 0) -> str:
    """A file of noise, different for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def rated(folder: Path, pattern: str, distortions: int, references: int, **options) -> Ratings:
    """A data set whose MOS is its level plus a tenth of its reference."""
    paths, mos = [], []
    for reference in range(1, references + 1):
        for distortion in range(1, distortions + 1):
            for level in LEVELS:
                name = pattern.format(reference=reference, distortion=distortion, level=level)
                paths.append(write(folder / name, 8, 8 + reference, seed=len(paths)))
                mos.append(level + reference / 10)
    return Ratings("a test", tuple(paths), np.array(mos), **options)


def tid(folder: Path, distortions: int = 24, references: int = 2, **options) -> Ratings:
    return rated(folder, "i{reference:02d}_{distortion:02d}_{level}.bmp", distortions, references, **options)


def kadid(folder: Path, distortions: int = 25, references: int = 1, **options) -> Ratings:
    return rated(
        folder, "I{reference:02d}_{distortion:02d}_{level:02d}.png", distortions, references, **options
    )


def same(first, second) -> bool:
    return (
        first.distortion == second.distortion
        and first.references == second.references
        and np.array_equal(first.mos, second.mos)
        and len(first.images) == len(second.images)
        and all(np.array_equal(a, b) for a, b in zip(first.images, second.images, strict=True))
    )


class Flat:
    """Grey pictures that count how often each is made."""

    digests: ClassVar[dict[str, str]] = {}  # nothing is read

    def __init__(self, count: int) -> None:
        self.count = count
        self.made: Counter[int] = Counter()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> np.ndarray:
        self.made[number] += 1
        return np.full((96, 96, 3), 128, np.uint8)

    def name(self, number: int) -> str:
        return f"flat {number}"


@pytest.fixture(scope="module")
def scenes_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pristine")
    for number, kind in enumerate(SCENES[:6]):
        Image.fromarray(draw_scene(kind, number, 112, 128)).save(folder / f"{kind}.png")
    return folder


# Rated data sets


def test_tid_has_its_24_distortions(tmp_path):
    source = RatedTasks(tid(tmp_path), "tid2013")
    assert source.name == "tid2013"
    assert source.distortions == tuple(f"{number:02d}" for number in range(1, 25))


def test_kadid_has_its_25_distortions(tmp_path):
    source = RatedTasks(kadid(tmp_path), "kadid10k")
    assert source.distortions == tuple(f"{number:02d}" for number in range(1, 26))


def test_distortions_are_sorted_whatever_the_order_of_the_images(tmp_path):
    ratings = tid(tmp_path, distortions=3)
    backwards = ratings.subset(np.arange(len(ratings.images))[::-1])
    assert RatedTasks(backwards, "tid2013").distortions == ("01", "02", "03")


def test_rated_task_holds_all_images_of_its_distortion_in_their_order(tmp_path):
    ratings = tid(tmp_path, distortions=3, references=2)
    task = RatedTasks(ratings, "tid2013").draw("02", seed=0)
    expected = [n for n, path in enumerate(ratings.images) if "_02_" in path]
    assert task.distortion == "02"
    assert task.references == ("i01",) * 5 + ("i02",) * 5
    assert task.mos.dtype == np.float64
    assert np.array_equal(task.mos, [1.1, 2.1, 3.1, 4.1, 5.1, 1.2, 2.2, 3.2, 4.2, 5.2])
    for image, number in zip(task.images, expected, strict=True):
        assert np.array_equal(image, np.asarray(Image.open(ratings.images[number])))
    assert {image.shape for image in task.images} == {(8, 9, 3), (8, 10, 3)}


def test_labels_are_turned_where_lower_is_better(tmp_path):
    ratings = tid(tmp_path, distortions=1, references=1, lower_better=True)
    task = RatedTasks(ratings, "dmos").draw("01", seed=0)
    assert np.array_equal(task.mos, [-1.1, -2.1, -3.1, -4.1, -5.1])
    assert np.array_equal(ratings.mos, [1.1, 2.1, 3.1, 4.1, 5.1])


def test_declared_references_go_before_those_of_the_names(tmp_path):
    ratings = dataclasses.replace(tid(tmp_path, 2, 1), references=tuple("abcdefghij"))
    assert RatedTasks(ratings, "tid2013").draw("02", seed=0).references == tuple("fghij")


def test_ratings_from_a_file(tmp_path):
    ratings = kadid(tmp_path, distortions=2)
    rows = (f"{Path(path).name},{mos}" for path, mos in zip(ratings.images, ratings.mos, strict=True))
    (tmp_path / "kadid.csv").write_text("\n".join(("image,mos", *rows)))
    read = RatedTasks(read_ratings(tmp_path / "kadid.csv"), "kadid10k")
    assert same(read.draw("02", seed=0), RatedTasks(ratings, "kadid10k").draw("02", seed=0))


def test_seed_does_not_matter_to_a_rated_task(tmp_path):
    ratings = tid(tmp_path, distortions=1)
    assert same(RatedTasks(ratings, "a").draw("01", seed=0), RatedTasks(ratings, "b").draw("01", seed=9))


def test_rated_task_cannot_be_spoiled_for_the_next_draw(tmp_path):
    task = RatedTasks(tid(tmp_path, distortions=1), "tid2013").draw("01", seed=0)
    for array in (*task.images, task.mos):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_few_decoded_tasks_are_kept(tmp_path):
    ratings = tid(tmp_path, distortions=5, references=1)
    source = RatedTasks(ratings, "tid2013")
    first = source.draw("01", seed=0)
    Path(ratings.images[0]).unlink()
    assert same(source.draw("01", seed=0), first)
    for other in ("02", "03", "04", "05"):
        source.draw(other, seed=0)
    with pytest.raises(ImageError, match="no such file"):
        source.draw("01", seed=0)


def test_distortions_without_information_are_left_out(tmp_path):
    ratings = tid(tmp_path, distortions=4, references=1)
    mos = ratings.mos.copy()
    mos[5:10] = 3.0
    few = Ratings("a test", ratings.images[:-1], mos[:-1])
    assert RatedTasks(few, "tid2013").distortions == ("01", "03")
    with pytest.raises(InputError, match="none of its 2 distortions has 5 images with different MOS"):
        RatedTasks(few.subset(np.array([5, 6, 7, 8, 9, 10, 11])), "tid2013")


def test_name_without_a_distortion(tmp_path):
    ratings = tid(tmp_path, distortions=1, references=1)
    odd = Ratings("a test", (*ratings.images, "photos/holiday.png"), np.arange(6.0))
    with pytest.raises(InputError, match=r"tid2013: .*'photos/holiday.png'.*TID2013 \(i01_08_5.bmp\)"):
        RatedTasks(odd, "tid2013")


def test_names_of_two_data_sets(tmp_path):
    first, second = tid(tmp_path, distortions=1), kadid(tmp_path, distortions=1)
    both = Ratings("a test", first.images + second.images, np.concatenate((first.mos, second.mos)))
    with pytest.raises(InputError, match="more than one data set"):
        RatedTasks(both, "both")


def test_rated_image_that_cannot_be_read(tmp_path):
    ratings = tid(tmp_path, distortions=2, references=1)
    Path(ratings.images[7]).write_bytes(b"")
    source = RatedTasks(ratings, "tid2013")
    with pytest.raises(ImageError, match=r"'.*i01_02_3.bmp': empty file"):
        source.draw("02", seed=0)
    assert len(source.draw("01", seed=0).images) == 5


def test_rated_tasks_reach_another_process_without_their_images(tmp_path):
    source = RatedTasks(tid(tmp_path, distortions=3), "tid2013")
    size = len(pickle.dumps(source))
    task = source.draw("02", seed=0)
    source._digests.clear()  # digests may travel
    assert len(pickle.dumps(source)) == size
    assert same(pickle.loads(pickle.dumps(source)).draw("02", seed=0), task)


def test_what_was_read_is_recorded(tmp_path):
    """Rated images and their originals by their pixels; of distorted pictures, the pristine ones."""
    source = RatedTasks(tid(tmp_path, distortions=2, references=1), "tid2013")
    assert source.draw("02", seed=0).learned["originals"] == {}
    original = write(tmp_path / "I01.bmp", 8, 9, seed=99)
    source = RatedTasks(tid(tmp_path, distortions=2, references=1), "tid2013")
    task = source.draw("02", seed=0)
    digests = [pixels_digest(image) for image in task.images]
    assert list(task.learned["ratings"].values()) == digests
    assert [Path(path).name for path in task.learned["ratings"]] == [f"i01_02_{n}.bmp" for n in LEVELS]
    assert list(task.learned["originals"].values()) == [pixels_digest(read_image(original))]

    (tmp_path / "pristine").mkdir()
    large = [write(tmp_path / "pristine" / f"{n}.png", 400, 500, seed=n) for n in range(2)]
    pristine = pristine_tasks(tmp_path / "pristine", pictures_per_task=1, kinds=["jpeg"])
    ((path, digest),) = pristine.draw("jpeg", seed=0).learned["photographs"].items()
    assert path in large
    assert digest == pixels_digest(read_image(path))  # before it is reduced
    assert drawn_tasks(pictures=2, kinds=["jpeg"]).draw("jpeg", seed=0).learned == {"photographs": {}}


# Pictures distorted on the fly


def test_all_kinds_of_the_bank_by_default(scenes_folder):
    source = pristine_tasks(scenes_folder)
    assert source.distortions == tuple(sorted(DISTORTIONS))
    assert source.name == str(scenes_folder)


def test_distorted_task_takes_pictures_without_replacement_at_all_levels(scenes_folder):
    task = pristine_tasks(scenes_folder, pictures_per_task=4).draw("jpeg", seed=0)
    assert len(task.images) == len(task.references) == 20
    assert task.mos.shape == (20,)
    assert task.mos.dtype == np.float64
    pictures = task.references[::5]
    assert len(set(pictures)) == 4
    assert set(pictures) < {str(path) for path in scenes_folder.iterdir()}
    for number, reference in enumerate(task.references):
        assert reference == pictures[number // 5]
        pristine = np.asarray(Image.open(reference))
        # JPEG has no pattern, so any seed gives its image.
        assert np.array_equal(task.images[number], distort(pristine, "jpeg", number % 5 + 1, seed=0))
        assert task.mos[number] == pseudo_mos(pristine, task.images[number])


def test_a_task_takes_all_pictures_where_there_are_fewer(scenes_folder):
    task = pristine_tasks(scenes_folder).draw("darken", seed=0)
    assert sorted(set(task.references)) == sorted(str(path) for path in scenes_folder.iterdir())


def test_labels_fall_with_the_level(scenes_folder):
    source = pristine_tasks(scenes_folder, pictures_per_task=4)
    for distortion in source.distortions:
        by_level = source.draw(distortion, seed=0).mos.reshape(-1, 5).mean(0)
        # Pictures as small as these may lose one block at the first two levels alike.
        assert (np.diff(by_level) <= 0).all(), (distortion, by_level)
        assert by_level[0] > by_level[2] > by_level[4]


def test_levels_of_a_picture_share_a_pattern_and_pictures_do_not():
    source = DistortedTasks(Flat(5), "flat", pictures_per_task=3)
    images = source.draw("impulse_noise", seed=0).images
    hit = [image != 128 for image in images]
    for picture in range(3):
        for mild, strong in zip(hit[5 * picture : 5 * picture + 4], hit[5 * picture + 1 :], strict=False):
            assert (strong | ~mild).all()
    assert not np.array_equal(images[4], images[9])
    assert not np.array_equal(images[9], images[14])


def test_same_arguments_give_the_same_task_whatever_was_drawn_before(scenes_folder):
    first = pristine_tasks(scenes_folder, pictures_per_task=2)
    second = pristine_tasks(scenes_folder, pictures_per_task=2)
    task = first.draw("warp", seed=3)
    np.random.seed(1)  # noqa: NPY002
    other = second.draw("warp", seed=4)
    assert same(second.draw("warp", seed=3), task)
    assert not same(other, task)


def test_seed_changes_the_pictures():
    source = DistortedTasks(Flat(50), "flat", pictures_per_task=5, kinds=["darken", "haze"])
    chosen = {source.draw(kind, seed).references for kind in source.distortions for seed in range(3)}
    assert len(chosen) == 6


def test_kinds_that_are_held_out_cannot_be_drawn(scenes_folder):
    source = pristine_tasks(scenes_folder, kinds=("warp", "jpeg", "warp"), pictures_per_task=1)
    assert source.distortions == ("jpeg", "warp")
    with pytest.raises(InputError, match=r"unknown distortion 'jpeg2000'\. Did you mean 'jpeg'\?"):
        source.draw("jpeg2000", seed=0)
    everything = pristine_tasks(scenes_folder, pictures_per_task=1)
    assert same(source.draw("jpeg", seed=1), everything.draw("jpeg", seed=1))


def test_pictures_are_made_when_needed_and_a_bounded_number_is_kept(monkeypatch):
    monkeypatch.setattr(module, "_KEPT_PICTURES", 3)
    pictures = Flat(4)
    few = DistortedTasks(pictures, "flat", pictures_per_task=3)
    assert not pictures.made
    for _ in range(2):
        few.draw("darken", seed=0)
    assert sorted(pictures.made.values()) == [1, 1, 1]

    pictures = Flat(4)
    all_four = DistortedTasks(pictures, "flat", pictures_per_task=4)
    for _ in range(2):
        all_four.draw("darken", seed=0)
    assert sum(pictures.made.values()) > 4


def test_pristine_tasks_reach_another_process_without_their_images(scenes_folder):
    source = pristine_tasks(scenes_folder, pictures_per_task=2)
    task = source.draw("white_noise", seed=5)
    assert len(pickle.dumps(source)) < 3000
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert same(pool.submit(source.draw, "white_noise", 5).result(timeout=60), task)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((96, 97), (96, 97)), ((384, 500), (384, 500)), ((500, 801), (384, 615)), ((900, 400), (864, 384))],
)
def test_large_pictures_are_reduced_by_area(tmp_path, size, expected):
    path = write(tmp_path / "a.png", *size)
    picture = PictureFiles((path,))[0]
    whole = np.asarray(Image.open(path))
    assert picture.shape == (*expected, 3)
    assert np.array_equal(picture, cv2.resize(whole, expected[::-1], interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize(("height", "width"), [(95, 200), (200, 95)])
def test_pristine_picture_that_is_too_small(tmp_path, height, width):
    write(tmp_path / "large.png", 100, 100)
    write(tmp_path / "small.png", height, width)
    source = pristine_tasks(tmp_path)
    with pytest.raises(ImageError, match=rf"small.png': {width} x {height} pixels, .* at least 96"):
        source.draw("jpeg", seed=0)


def test_pristine_picture_that_cannot_be_read(tmp_path):
    write(tmp_path / "good.png", 100, 100)
    (tmp_path / "text.png").write_text("this is only text")
    source = pristine_tasks(tmp_path)
    with pytest.raises(ImageError, match=r"text.png': "):
        source.draw("jpeg", seed=0)


def test_folder_with_too_few_images(tmp_path):
    with pytest.raises(InputError, match="no images in this folder"):
        pristine_tasks(tmp_path)
    path = write(tmp_path / "one.png", 100, 100)
    with pytest.raises(InputError, match="at least 2 pristine pictures are needed, not 1"):
        pristine_tasks(tmp_path)
    for no_folder in (path, tmp_path / "gone", "-"):
        with pytest.raises(InputError, match=f"'{no_folder}': no such folder"):
            pristine_tasks(no_folder)


def test_folder_named_like_standard_input(tmp_path, monkeypatch):
    (tmp_path / "-").mkdir()
    for number in range(2):
        write(tmp_path / "-" / f"{number}.png", 100, 100)
    monkeypatch.chdir(tmp_path)
    assert len(pristine_tasks("-").draw("jpeg", seed=0).images) == 10


# Drawn scenes


def test_drawn_pictures_are_the_nine_kinds_of_scenes_in_turn():
    pictures = DrawnPictures(pictures=20, seed=3)
    kinds, seeds = zip(*(pictures.name(number).split("-") for number in range(20)), strict=True)
    assert kinds == (SCENES * 3)[:20]
    assert np.array_equal(pictures[13], draw_scene(kinds[13], int(seeds[13]), 256, 256))


def test_drawn_seeds_are_used_for_nothing_else():
    names = [DrawnPictures(300, seed).name(number) for seed in range(4) for number in range(300)]
    seeds = [int(name.split("-")[1]) for name in names]
    assert len(set(seeds)) == len(seeds)
    # The demo has those from 2**33 on.
    assert min(seeds) >= 2**32
    assert max(seeds) < 2**33


def test_drawn_pictures_end_like_a_sequence():
    with pytest.raises(IndexError):
        DrawnPictures(pictures=2, seed=0).name(2)


def test_drawn_tasks():
    source = drawn_tasks(pictures=9, seed=1, pictures_per_task=2, kinds=["haze"])
    task = source.draw("haze", seed=0)
    assert {image.shape for image in task.images} == {(256, 256, 3)}
    names = {DrawnPictures(9, 1).name(number) for number in range(9)}
    assert len(set(task.references)) == 2
    assert set(task.references) < names
    assert same(pickle.loads(pickle.dumps(source)).draw("haze", seed=0), task)


# Wrong arguments


def test_unknown_distortion(tmp_path):
    rated_source = RatedTasks(tid(tmp_path, distortions=2), "tid2013")
    with pytest.raises(InputError, match=r"tid2013: unknown distortion 'blur'\. Known: 01, 02\."):
        rated_source.draw("blur", seed=0)
    with pytest.raises(InputError, match=r"drawn scenes: .* 'gausian_blur'\. Did you mean 'gaussian_blur'"):
        drawn_tasks().draw("gausian_blur", seed=0)


def test_negative_seed(tmp_path):
    for source in (RatedTasks(tid(tmp_path, distortions=1), "tid2013"), drawn_tasks(kinds=["jpeg"])):
        with pytest.raises(InputError, match="seed is -1, expected 0 or more"):
            source.draw(source.distortions[0], seed=-1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pictures": 1}, "at least 2 pristine pictures are needed, not 1"),
        ({"pictures": -3}, "0 or more, not -3 and 0"),
        ({"seed": -1}, "0 or more, not 270 and -1"),
        ({"pictures_per_task": 0}, "pictures_per_task is 0, expected 1 or more"),
        ({"kinds": ["jpeg", "wrap"]}, "kinds: unknown distortion 'wrap'. Did you mean 'warp'?"),
        ({"kinds": []}, "kinds is empty"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(InputError, match=message):
        drawn_tasks(**options)
