"""Images that a model learned from are known by their pixels, and by their originals."""

import dataclasses
import json

import numpy as np
import pandas
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.data.images import pixels_digest, read_image
from grmp_plugin.data.learned_images import (
    digests_of_files,
    learned_digests,
    original_files,
    seen_images,
    with_learned,
)
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.errors import CheckpointError, InputError
from grmp_plugin.network.checkpoint import read_checkpoint

IMAGES, SHOTS = 40, 10


def picture(seed, height=24):
    return np.random.default_rng(seed).integers(0, 256, (height, 28, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Noise with random ratings, some settings, and eight originals with five versions each."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(IMAGES):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", rng.uniform(1, 5)))
    pandas.DataFrame(rows, columns=["image", "mos"]).to_csv(folder / "ratings.csv", index=False)
    (folder / "originals").mkdir()
    (folder / "versions").mkdir()
    rows = []
    for number in range(8):
        Image.fromarray(picture(100 + number)).save(folder / "originals" / f"o{number}.png")
        for level in range(5):
            pixels = picture(100 + number) // (level + 2)
            Image.fromarray(pixels).save(folder / "versions" / f"{number}_{level}.png")
            rows.append((f"versions/{number}_{level}.png", rng.uniform(1, 5), f"originals/o{number}.png"))
    pandas.DataFrame(rows, columns=["image", "mos", "reference"]).to_csv(folder / "versions.csv", index=False)
    (folder / "short.yml").write_text("training: {epochs: 2, learning_rate: 0.5}\n")
    return folder


@pytest.fixture(scope="module")
def adapted(folder, small_checkpoint):
    return grmp.adapt(folder / "ratings.csv", SHOTS, small_checkpoint(), config=folder / "short.yml")


@pytest.fixture(scope="module")
def adapted_to_versions(folder, small_checkpoint):
    return grmp.adapt(folder / "versions.csv", SHOTS, small_checkpoint(), config=folder / "short.yml")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


# The rule


def test_own_pixels_originals_and_groups():
    learned = {"a", "o3"}
    images = ["a", "b", "c", "d", None, "f"]
    originals = ["o1", "o1", "o2", "o3", None, None]
    np.testing.assert_array_equal(seen_images(learned, images, originals, None), [1, 1, 0, 1, 0, 0])
    # The group of image 3 holds image 5; that of image 1 holds image 2, which shares no pixels with it.
    groups = ["g1", "g2", "g2", "g3", "g4", "g3"]
    np.testing.assert_array_equal(seen_images(learned, images, originals, groups), [1, 1, 1, 1, 0, 1])
    assert not seen_images(set(), images, originals, groups).any()


def test_record_grows_and_names_stay_apart():
    start = {"learned_from": {"photographs": {"p.jpg": "1"}, "ratings": {"a.png": "2"}}}
    record = with_learned(
        start, "start", ratings=[("x/a.png", "3"), ("y/a.png", "2"), ("b.png", "4")], originals=[]
    )
    assert record == {
        "photographs": {"p.jpg": "1"},
        "ratings": {"a.png": "2", "a.png (2)": "3", "b.png": "4"},
    }
    assert learned_digests({"learned_from": record}, "s") == {"1", "2", "3", "4"}
    assert start["learned_from"]["ratings"] == {"a.png": "2"}
    assert with_learned({}, "start", ratings=[]) == {}


@pytest.mark.parametrize("section", [3, [], {"ratings": 3}, {"ratings": {"a": 3}}, None])
def test_damaged_record(section):
    with pytest.raises(CheckpointError, match=r"mine\.safetensors: learned_from"):
        learned_digests({"learned_from": section}, "mine.safetensors")


def test_originals_are_found_beside_the_images(folder, tmp_path):
    ratings = read_ratings(folder / "versions.csv")
    assert original_files(ratings)[5] == str(folder / "versions" / ".." / "originals" / "o1.png").replace(
        "versions/../", ""
    )
    assert original_files(read_ratings(folder / "ratings.csv")) == (None,) * IMAGES
    # KADID-10k's naming scheme, and no file for the second reference.
    for name in ("I01_01_01", "I01_01_02", "I02_01_01", "I01"):
        Image.fromarray(picture(1)).save(tmp_path / f"{name}.png")
    (tmp_path / "k.csv").write_text("image,mos\nI01_01_01.png,1\nI01_01_02.png,2\nI02_01_01.png,3\n")
    found = original_files(read_ratings(tmp_path / "k.csv"))
    assert found == (str(tmp_path / "I01.png"),) * 2 + (None,)
    (tmp_path / "torn.png").write_bytes(b"no image")
    digests = digests_of_files([str(tmp_path / "I01.png"), str(tmp_path / "torn.png")])
    assert digests == {str(tmp_path / "I01.png"): pixels_digest(picture(1))}


# Adaptation


def test_adapted_checkpoint_knows_its_shots(adapted, tmp_path):
    saved = read_checkpoint(adapted.save(tmp_path / "mine.safetensors"))
    expected = {
        path.rpartition("/")[2]: pixels_digest(read_image(path)) for path in adapted.splits[0].learned_from
    }
    assert saved.info["learned_from"] == {"ratings": expected}
    assert len(expected) == SHOTS


def test_adapted_checkpoint_knows_the_originals(adapted_to_versions, folder):
    record = adapted_to_versions.checkpoint.info["learned_from"]
    shots = {name.rpartition("/")[2][0] for name in adapted_to_versions.splits[0].learned_from}
    assert record["originals"] == {f"o{shot}.png": pixels_digest(picture(100 + int(shot))) for shot in shots}


def test_released_protocol_also_learns_from_the_test_images(folder, small_checkpoint):
    """It chooses an epoch on them."""
    found = grmp.adapt(
        folder / "ratings.csv", SHOTS, small_checkpoint(), config=folder / "short.yml", protocol="released"
    )
    tested = {row["image"] for row in found.predictions}
    assert len(tested) == IMAGES // 5
    assert len(found.checkpoint.info["learned_from"]["ratings"]) == SHOTS + len(tested)


def test_second_adaptation_leaves_out_what_the_first_learned(adapted, folder):
    again = grmp.adapt(folder / "ratings.csv", SHOTS, adapted, config=folder / "short.yml")
    first, second = (set(found.splits[0].learned_from) for found in (adapted, again))
    assert not first & second
    assert not first & {row["image"] for row in again.predictions}
    assert len(again.predictions) == IMAGES - 2 * SHOTS
    assert again.run.details["learned_before"] == {"images": SHOTS, "used": False}
    (note,) = [note for note in again.notes if "left out" in note.message]
    assert f"{SHOTS} rated images" in note.message
    assert note.see == ("include_learned",)
    assert len(again.checkpoint.info["learned_from"]["ratings"]) == 2 * SHOTS


def test_other_versions_of_an_original_are_left_out(adapted_to_versions, folder, small_checkpoint):
    # The ratings name no originals here, and only the originals' pixels are known.
    checkpoint = adapted_to_versions.checkpoint
    shot = adapted_to_versions.splits[0].learned_from[0]
    again = grmp.adapt(folder / "versions.csv", 5, checkpoint, config=folder / "short.yml")
    used = {row["image"] for row in again.predictions} | set(again.splits[0].learned_from)
    originals = {path.rpartition("/")[2][0] for path in adapted_to_versions.splits[0].learned_from}
    assert shot.rpartition("/")[2][0] in originals
    assert not originals & {path.rpartition("/")[2][0] for path in used}


def test_all_images_on_request(adapted, folder):
    again = grmp.adapt(
        folder / "ratings.csv", SHOTS, adapted, config=folder / "short.yml", include_learned=True
    )
    assert len(again.predictions) == IMAGES - SHOTS
    assert again.run.details["learned_before"] == {"images": SHOTS, "used": True}
    assert any("too good" in note.message for note in again.notes)


def test_too_few_images_left(adapted, folder):
    with pytest.raises(InputError, match=r"10 rated images are left out, as .* learned from them") as caught:
        grmp.adapt(folder / "ratings.csv", IMAGES - SHOTS, adapted, config=folder / "short.yml")
    assert "include_learned" in caught.value.see
    everything = {str(n): pixels_digest(picture(n)) for n in range(IMAGES)}
    info = {**adapted.checkpoint.info, "learned_from": {"ratings": everything}}
    with pytest.raises(InputError, match="0 rated images are left") as caught:
        grmp.adapt(folder / "ratings.csv", 5, dataclasses.replace(adapted.checkpoint, info=info))
    assert caught.value.see == ("include_learned",)


def test_record_is_plain_data(adapted):
    json.dumps(dict(adapted.checkpoint.info))
