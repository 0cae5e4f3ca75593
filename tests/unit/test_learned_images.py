"""Images that a model learned from are known by their pixels, and by their originals."""

import dataclasses
import json

import numpy as np
import pandas
import pytest
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

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
from grmp_plugin.errors import CheckpointError, InputError, MetricError
from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.network.models import find_checkpoint

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
    (folder / "short.yml").write_text("training: {method: prompts, epochs: 2, learning_rate: 0.5}\n")
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
        grmp.adapt(folder / "ratings.csv", IMAGES - SHOTS - 1, adapted, config=folder / "short.yml")
    assert "include_learned" in caught.value.see
    everything = {str(n): pixels_digest(picture(n)) for n in range(IMAGES)}
    info = {**adapted.checkpoint.info, "learned_from": {"ratings": everything}}
    with pytest.raises(InputError, match="0 rated images are left") as caught:
        grmp.adapt(folder / "ratings.csv", 5, dataclasses.replace(adapted.checkpoint, info=info))
    assert caught.value.see == ("include_learned",)


def test_record_is_plain_data(adapted):
    json.dumps(dict(adapted.checkpoint.info))


# Comparison


def test_comparison_judges_on_unseen_images_only(adapted, folder):
    """Random ratings of noise: there is nothing to learn, so an adapted model must not look better."""
    shots = set(adapted.splits[0].learned_from)
    result = grmp.compare(folder / "ratings.csv", ["entropy", adapted])
    rows = result.image_scores().to_pandas()
    assert set(rows.image[~rows.judged]) == shots
    assert set(rows.image[rows.learned_by == "adaptation"]) == shots
    unseen = rows[~rows.image.isin(shots)]
    for row in result.rows:
        assert row["images"] == IMAGES - SHOTS
        assert row["srcc"] == pytest.approx(stats.spearmanr(unseen[row["metric"]], unseen.mos).statistic)
        assert row["learned_images"] == (SHOTS if row["metric"] == "adaptation" else 0)
    assert result.run.details["learned_images"] == {
        "images": SHOTS,
        "judged": False,
        "by": {"adaptation": SHOTS},
    }
    (note,) = [note for note in result.notes if "learned" in note.message]
    assert note.message.startswith(f"left out: {SHOTS} of {IMAGES} images, as adaptation learned from them")
    assert note.see == ("include_learned",)
    assert result.left_out_images == []
    assert result.complete


def test_comparison_on_all_images_says_so(adapted, folder, tmp_path):
    result = grmp.compare(folder / "ratings.csv", ["entropy", adapted], include_learned=True)
    rows = result.image_scores().to_pandas()
    assert rows.judged.all()
    for row in result.rows:
        assert row["srcc"] == pytest.approx(stats.spearmanr(rows[row["metric"]], rows.mos).statistic)
    assert result.to_dict()["run"]["learned_images"]["judged"] is True
    assert any("flatters" in note.message for note in result.notes)
    page = result.report(tmp_path / "all.html").read_text()
    assert f"These numbers flatter adaptation, which learned from {SHOTS} images" in page
    page = (
        grmp.compare(folder / "ratings.csv", ["entropy", adapted]).report(tmp_path / "some.html").read_text()
    )
    assert "flatter" not in page
    assert f"{SHOTS} are left out, as adaptation learned from them" in page


def test_versions_are_recognised_in_other_ratings(adapted_to_versions, folder, tmp_path):
    """By the pixels of the original, found through the ratings or given; not at all without it."""
    originals = {path.rpartition("/")[2][0] for path in adapted_to_versions.splits[0].learned_from}
    shots = {path.rpartition("/")[2] for path in adapted_to_versions.splits[0].learned_from}
    rated = pandas.read_csv(folder / "versions.csv")
    others = rated[~rated.image.str.removeprefix("versions/").isin(shots)]
    assert len(originals) > 0

    def left_out(table, **options):
        scores = grmp.compare(table, ["entropy", adapted_to_versions], images_folder=folder, **options)
        rows = scores.image_scores().to_pandas()
        return {path.rpartition("/")[2][0] for path in rows.image[~rows.judged]}

    assert left_out(others) == originals
    nameless = others.drop(columns="reference")
    assert left_out(nameless) == set()
    # References found by name: one file for all makes all images versions of one original.
    assert (
        left_out(others.assign(reference=others.reference.str[10:]), references=folder / "originals")
        == originals
    )


def test_digests_are_kept_with_the_scores(adapted, folder, monkeypatch):
    first = grmp.compare(folder / "ratings.csv", ["entropy", adapted])

    def refuse(*arguments, **options):
        raise AssertionError("decoded again")

    monkeypatch.setattr("grmp_plugin.evaluation.metric_scores.read_image", refuse)
    monkeypatch.setattr("grmp_plugin.evaluation.pixel_digests.file_pixels_digest", refuse)
    again = grmp.compare(folder / "ratings.csv", ["entropy", adapted])
    assert json.dumps(again.rows) == json.dumps(first.rows)


def test_images_scored_before_are_recognised(adapted, folder):
    """The first comparison needed no digests; the second computes no score anew."""
    grmp.compare(folder / "ratings.csv", "entropy")
    grmp.compare([str(folder / f"{n}.png") for n in range(IMAGES)], adapted)
    seen = []
    result = grmp.compare(folder / "ratings.csv", ["entropy", adapted], progress=seen.append)
    assert {at.stage for at in seen} == {"recognising images"}
    assert int(result.comparison.judged.sum()) == IMAGES - SHOTS


def test_embedded_models_leave_out_their_own_training_images(folder, monkeypatch):
    learned = frozenset(pixels_digest(picture(n)) for n in range(6))
    own = learned_digests(find_checkpoint("grmp_iqa-tiny").info, "grmp_iqa-tiny")
    assert len(own) > 3000
    monkeypatch.setattr("grmp_plugin.evaluation.judging.learned_digests", lambda info, source: learned | own)
    result = grmp.compare(folder / "ratings.csv", ["entropy", "grmp_iqa-tiny"])
    assert int(result.comparison.judged.sum()) == IMAGES - 6


def test_too_few_images_to_judge_on(adapted, folder):
    few = pandas.read_csv(folder / "ratings.csv")
    names = [path.rpartition("/")[2] for path in adapted.splits[0].learned_from]
    few = pandas.concat([few[few.image.isin(names)], few[~few.image.isin(names)][:4]])
    with pytest.raises(InputError, match=r"4 of 14 images are left .* too few") as caught:
        grmp.compare(few, ["entropy", adapted], images_folder=folder)
    assert caught.value.see == ("include_learned",)
    all_ = grmp.compare(few, ["entropy", adapted], images_folder=folder, include_learned=True)
    assert all_.rows[0]["images"] == 14


def test_a_metric_that_fails_leaves_nothing_out(adapted, folder, monkeypatch):
    from grmp_plugin.evaluation.metrics import Metrics

    def fail(self, spec):
        raise MetricError("no memory")

    monkeypatch.setattr(Metrics, "_open_own", fail)
    result = grmp.compare(folder / "ratings.csv", ["entropy", adapted])
    assert result.comparison.judged.all()
    assert result.run.details["learned_images"]["images"] == 0


def test_split_column_judges_on_the_test_rows(adapted, folder):
    rated = pandas.read_csv(folder / "ratings.csv")
    shots = [path.rpartition("/")[2] for path in adapted.splits[0].learned_from]
    rated["split"] = ["train" if image in shots else "test" for image in rated.image]
    result = grmp.compare(rated, ["entropy", adapted], images_folder=folder, split_column="split")
    assert len(result.comparison.images) == IMAGES - SHOTS
    assert result.run.details["learned_images"]["images"] == 0
    assert result.run.details["ratings"]["split_column"] == "split"
    for options in ({"split_column": "split"}, {"include_learned": True}):
        with pytest.raises(InputError, match="these are images"):
            grmp.compare(folder, "entropy", **options)


def test_command(adapted, folder, tmp_path, monkeypatch):
    from grmp_cli.app import app

    monkeypatch.chdir(tmp_path)
    adapted.save("mine.safetensors")
    command = [
        "compare",
        str(folder / "ratings.csv"),
        "--metrics",
        "entropy,mine.safetensors",
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0
    assert f"on {IMAGES - SHOTS} of {IMAGES} images with ratings; excluding {SHOTS} that mine" in done.stdout
    assert "--include-learned" in done.stderr
    done = CliRunner().invoke(app, [*command, "--include-learned"])
    assert f"on {IMAGES} of {IMAGES} images with ratings, {SHOTS} of which mine" in done.stdout
    assert "too good" in done.stdout
    again = ["adapt", str(folder / "ratings.csv"), "--model", "mine.safetensors", "--shots", "5", "--config"]
    done = CliRunner().invoke(app, [*again, str(folder / "short.yml")])
    assert done.exit_code == 0
    assert f"left out: {SHOTS} rated images, as mine.safetensors learned" in done.stderr
    assert "on 25 images not learned from" in done.stdout
    done = CliRunner().invoke(app, [*again, str(folder / "short.yml"), "--include-learned"])
    assert f"before, mine.safetensors learned from {SHOTS} of all rated images" in done.stdout
