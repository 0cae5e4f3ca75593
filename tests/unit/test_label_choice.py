"""Which pictures are rated: readable ones, near-duplicates left out, by a strategy or a list."""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from grmp_plugin.api import label_pictures
from grmp_plugin.api.label import open_labelling
from grmp_plugin.errors import InputError
from grmp_plugin.labelling import selection
from grmp_plugin.labelling.near_duplicates import Distinct, thumbprint
from grmp_plugin.labelling.pool import read_pool
from grmp_plugin.labelling.reading import read_some
from grmp_plugin.labelling.votes import Window
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.progress import Progress
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.ridge import start_logits
from grmp_plugin.training.scorer import RatedScorer


def _scene(seed: int, shift: int = 0, light: float = 1.0) -> np.ndarray:
    """A smooth random picture, (180, 240, 3), moved by some pixels and lit differently."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    large = np.asarray(small.resize((260, 200), Image.Resampling.BICUBIC), np.float64)
    cut = large[shift : shift + 180, shift : shift + 240] * light
    return np.clip(cut + rng.normal(0, 3, cut.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 different photographs, a burst of 3 of the first, and 2 broken files."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(12):
        Image.fromarray(_scene(seed)).save(photos / f"{seed}.jpg", quality=95)
    for frame in (1, 2, 3):
        Image.fromarray(_scene(0, shift=frame, light=1 - 0.02 * frame)).save(photos / f"burst{frame}.jpg")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (photos / "empty.png").write_bytes(b"")
    return photos


def test_frames_of_a_burst_are_near_duplicates_and_other_photographs_are_not() -> None:
    distinct = Distinct()
    assert all(distinct.add(thumbprint(_scene(seed))) for seed in range(30))
    assert not any(distinct.add(thumbprint(_scene(seed, shift=3, light=0.95))) for seed in range(30))


def test_plain_pictures_do_not_divide_by_zero() -> None:
    distinct = Distinct()
    assert distinct.add(thumbprint(np.zeros((5, 7, 3), np.uint8)))
    assert distinct.add(thumbprint(np.full((5, 7, 3), 200, np.uint8)))


def test_reads_no_more_than_it_needs_and_names_what_it_cannot_read(folder: Path) -> None:
    paths = [
        str(folder / name) for name in ("broken.jpg", "0.jpg", "burst1.jpg", "1.jpg", "2.jpg", "gone.jpg")
    ]
    chosen, left_out = read_some(paths, 2)
    assert [Path(path).name for path in chosen] == ["0.jpg", "1.jpg"]
    assert [Path(path).name for path, _ in left_out.unreadable] == ["broken.jpg"]
    assert [Path(path).name for path in left_out.near_duplicates] == ["burst1.jpg"]
    chosen, left_out = read_some([str(folder / "burst2.jpg"), str(folder / "3.jpg")], 9, known=[paths[1]])
    assert [Path(path).name for path in chosen] == ["3.jpg"]


@pytest.mark.parametrize("variant", ["vit", "trunk"])
def test_the_pool_has_what_a_head_reads(folder: Path, small_network, variant: str) -> None:
    seen: list[Progress] = []
    network = small_network(variant, "crops")
    pool = read_pool([str(path) for path in sorted(folder.iterdir())], network, seen.append)
    assert len(pool.paths) == 12
    assert len(pool.left_out.near_duplicates) == 3
    assert {Path(path).name for path, _ in pool.left_out.unreadable} == {"broken.jpg", "empty.png"}
    assert seen[-1] == Progress("looking at pictures", 17, 17)
    expected = RatedScorer(RatedViews(pool.paths, np.zeros(12), network.config.preprocess)).head_inputs(
        network, range(12)
    )
    for found, value in zip(pool.inputs, expected, strict=True):
        if value is None:
            assert found is None
        else:
            np.testing.assert_allclose(found.numpy(), value.numpy(), atol=1e-4)
    np.testing.assert_allclose(pool.start, start_logits(network, expected), atol=1e-4)
    some = pool.subset([7, 2])
    assert some.paths == (pool.paths[7], pool.paths[2])
    np.testing.assert_array_equal(some.inputs.logit, pool.inputs.logit[[7, 2]].double())


def test_the_pool_stops_when_it_has_enough(folder: Path, small_network) -> None:
    seen: list[Progress] = []
    paths = [str(folder / name) for name in ("broken.jpg", "0.jpg", "burst1.jpg", "1.jpg", "2.jpg", "gone")]
    pool = read_pool(paths, small_network("vit", "squash"), seen.append, most=2)
    assert [Path(path).name for path in pool.paths] == ["0.jpg", "1.jpg"]
    assert len(pool.left_out.unreadable) == len(pool.left_out.near_duplicates) == 1
    assert seen[-1] == Progress("looking at pictures", 2, 2)


def test_a_head_predicts_the_quality(folder: Path, small_checkpoint) -> None:
    checkpoint = small_checkpoint("vit", "squash")
    tensors = {name: torch.zeros(size) for name, size in (("bias", 1), ("logit", 1), ("features", 32))}
    tensors["features"][0] = 1
    head = {f"head.{name}": value for name, value in tensors.items()}
    network = GRMPIQA(dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, **head}))
    pool = read_pool([str(folder / f"{number}.jpg") for number in range(5)], network, lambda progress: None)
    np.testing.assert_allclose(pool.start, pool.inputs.features[:, 0], atol=1e-6)


@pytest.mark.parametrize("strategy", ["random", "both", "uncertainty"])
def test_a_session_of_a_folder(folder: Path, tmp_path: Path, small_network, strategy: str) -> None:
    out = tmp_path / "ratings.csv"
    choice = {"strategy": strategy, "model": small_network("vit", "squash")}
    with open_labelling(str(folder), out, count=6, **choice) as labelling:
        first = set(labelling.store.pictures().values())
        assert len(first) == 6
        assert not labelling.resumed
    with open_labelling(str(folder), out, more=4, **choice) as labelling:
        assert labelling.resumed
        assert labelling.added == 4
        pictures = labelling.store.pictures().values()
        assert len(set(pictures)) == len(pictures) == 10
        assert first < set(pictures)
        burst = [
            path
            for path in pictures
            if Path(path).name in ("0.jpg", "burst1.jpg", "burst2.jpg", "burst3.jpg")
        ]
        assert len(burst) <= 1
        assert not any("broken" in path or "empty" in path for path in pictures)
    with open_labelling(None, out) as labelling:
        assert len(labelling.store.pictures()) == 10
        assert labelling.remarks == ()


def test_more_pictures_depend_on_the_ratings_so_far(tmp_path: Path, small_network) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(30):
        Image.fromarray(_scene(seed)).save(photos / f"{seed}.jpg", quality=95)
    model = small_network("vit", "squash")
    added = []
    for direction in (1, -1):
        out = tmp_path / f"{direction}.csv"
        choice = {"strategy": "spread", "model": model, "seed": 3}
        with open_labelling(str(photos), out, count=12, **choice) as labelling:
            store, first = labelling.store, set(labelling.store.pictures().values())
            rater = store.enter("Ada")
            while (task := store.state(rater).task) is not None:
                number = int(Path(store.picture_of(rater, task, 0)).stem)
                store.vote(rater, task, 3 + direction * (number % 3 - 1), 1.0, Window(800, 600, 1.0))
        with open_labelling(str(photos), out, more=9, **choice) as labelling:
            assert labelling.added == 9
            added.append(set(labelling.store.pictures().values()) - first)
    assert added[0] != added[1]


def test_more_pictures_are_chosen_by_the_model_unless_told_otherwise(
    folder: Path, tmp_path: Path, small_network, monkeypatch
) -> None:
    """A new session takes random pictures; what is added makes ridge regression most certain."""
    asked: list[str] = []
    choose = selection.choose

    def spied(strategy: str, *arguments):
        asked.append(strategy)
        return choose(strategy, *arguments)

    monkeypatch.setattr(selection, "choose", spied)
    seen: list[Progress] = []
    model = small_network("vit", "squash")
    out = tmp_path / "r.csv"
    with open_labelling(str(folder), out, count=4, model=model, progress=seen.append):
        assert (asked, seen) == ([], [])
    with open_labelling(str(folder), out, more=3, model=model, progress=seen.append) as labelling:
        assert labelling.added == 3
    assert asked[0] == "uncertainty"
    assert seen[-1].stage == "looking at pictures"
    asked.clear()
    with open_labelling(str(folder), out, more=2, model=model, strategy="random"):
        assert asked == []


def test_pictures_of_another_folder_are_not_ignored(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(_scene(99)).save(other / "99.jpg")
    out = tmp_path / "r.csv"
    with open_labelling(str(folder), out, count=4):
        pass
    with (
        pytest.raises(InputError, match=r"r\.csv has other pictures, and none of these") as caught,
        open_labelling(str(other), out),
    ):
        pass
    assert caught.value.argument == "out"
    with pytest.raises(InputError, match="no such"), open_labelling(str(tmp_path / "nowhere"), out):
        pass
    listed = tmp_path / "chosen.txt"
    listed.write_text(str(other / "99.jpg"))
    with pytest.raises(InputError, match="none of these"), open_labelling(None, out, listed=listed):
        pass
    with open_labelling(str(folder), out) as labelling:
        assert len(labelling.store.pictures()) == 4


def test_a_large_folder_is_not_read_to_its_end(
    folder: Path, tmp_path: Path, small_network, monkeypatch
) -> None:
    seen: list[Progress] = []
    monkeypatch.setattr(label_pictures, "_LOOKED_AT", 5)
    monkeypatch.setattr(label_pictures, "_TIMES_WANTED", 1)
    choice = {"strategy": "uncertainty", "model": small_network("vit", "squash")}
    with open_labelling(str(folder), tmp_path / "r.csv", count=3, progress=seen.append, **choice) as found:
        assert len(found.store.pictures()) == 3
    assert seen[-1] == Progress("looking at pictures", 8, 8)


def test_too_few_pictures_are_said_so(folder: Path, tmp_path: Path) -> None:
    with open_labelling(str(folder), tmp_path / "r.csv", count=50) as labelling:
        assert len(labelling.store.pictures()) == 12
        assert labelling.remarks[0] == "only 12 pictures can be rated, 50 were wanted"
        assert any("broken.jpg: " in remark for remark in labelling.remarks)
        assert "3 near-duplicates of other pictures left out" in labelling.remarks


def test_a_list_is_taken_as_it_is(folder: Path, tmp_path: Path) -> None:
    listed = folder / "chosen.txt"
    listed.write_text("burst1.jpg\n0.jpg\n\nburst2.jpg\nbroken.jpg\n0.jpg\n", encoding="utf-8")
    with open_labelling(None, tmp_path / "r.csv", listed=listed) as labelling:
        names = [Path(path).name for path in labelling.store.pictures().values()]
        assert names == ["burst1.jpg", "0.jpg", "burst2.jpg"]
        assert any("broken.jpg: " in remark for remark in labelling.remarks)


def test_mistakes_are_errors_that_name_the_argument(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    wrong = [
        ("strategy", {"strategy": "best"}),
        ("count", {"count": 1}),
        ("more", {"more": -1}),
        ("more", {"more": 5}),  # there is no session
        ("listed", {"listed": "chosen.txt"}),
    ]
    for argument, options in wrong:
        with pytest.raises(InputError) as caught, open_labelling(str(folder), out, **options):
            pass
        assert caught.value.argument == argument
    for images, path, argument in ((None, out, "images"), (str(folder), tmp_path / "r.xlsx", "out")):
        with pytest.raises(InputError) as caught, open_labelling(images, path):
            pass
        assert caught.value.argument == argument
    with pytest.raises(InputError, match="files, not arrays"), open_labelling(_scene(0), out):
        pass
    assert list(tmp_path.iterdir()) == [folder]


def test_a_session_is_not_begun_over_other_ratings_nor_run_twice(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    out.write_text("image,mos\n")
    with pytest.raises(InputError, match="exists, but not its session"), open_labelling(str(folder), out):
        pass
    out.unlink()
    with (
        open_labelling(str(folder), out),
        pytest.raises(InputError, match="another process"),
        open_labelling(None, out),
    ):
        pass
    with pytest.raises(InputError, match="rated one by one"), open_labelling(None, out, pairs=True):
        pass
    (tmp_path / "r.session.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="not a rating session"), open_labelling(None, out):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in names")
def test_a_name_that_no_ratings_file_can_hold_is_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "1.jpg").rename(folder / os.fsdecode(b"caf\xe9.jpg"))
    with open_labelling(str(folder), tmp_path / "r.csv") as labelling:
        assert len(labelling.store.pictures()) == 11
        assert any("not valid Unicode" in remark for remark in labelling.remarks)


def test_many_pictures_are_kept_apart() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (16, 17, 3), dtype=np.uint8) for _ in range(300)]
    distinct = Distinct()
    assert all(distinct.add(thumbprint(pixels)) for pixels in pictures)
    assert not any(distinct.add(thumbprint(pixels)) for pixels in pictures)
