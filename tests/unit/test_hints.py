"""Messages advise only what can be done: options that the ratings at hand take."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.api.adapt_notes import notes_before
from grmp_plugin.api.compare_inputs import subjective_scores
from grmp_plugin.api.ratings import as_ratings
from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.ratings_file import RatingsOptions, read_ratings
from grmp_plugin.errors import InputError
from grmp_plugin.synthetic import demo
from grmp_plugin.training import named_data, task_sources
from grmp_plugin.training.settings import AdaptSettings

COUNT = 16
# What the messages below advise for a ratings file.
ADVICE = {"mos_range", "lower_better", "deviation_column", "reference_column"}


@pytest.fixture(scope="module")
def from_file(tmp_path_factory) -> Ratings:
    """Pictures that are rated the better, the more noise they have; one shot's rating is far away."""
    folder = tmp_path_factory.mktemp("rated")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(COUNT):
        noisy = 128 + rng.normal(0, 6 * number, (40, 48, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", number + 1.0))
    with (folder / "ratings.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mos"), *rows])
    return read_ratings(folder / "ratings.csv")


def fixed(ratings: Ratings) -> Ratings:
    """The same ratings as if they were those of a known data set."""
    return dataclasses.replace(ratings, adjustable=frozenset())


def advised(ratings: Ratings, small_checkpoint, tmp_path: Path) -> set[str]:
    """All that errors and notes about ratings advise."""
    found = set()
    with pytest.raises(InputError) as caught:
        ratings.scale(np.array([0]))
    found |= set(caught.value.see)
    with pytest.raises(InputError) as caught:
        subjective_scores(ratings, raters=12)
    found |= set(caught.value.see)
    (tmp_path / "other.png").write_bytes(Path(ratings.images[0]).read_bytes())
    with pytest.raises(InputError) as caught:
        grmp.compare(ratings, "psnr", references=tmp_path)
    found |= set(caught.value.see)
    declared = dataclasses.replace(ratings, mos_range=(0.0, 1000.0))
    notes = [*notes_before(declared, AdaptSettings(), None)]
    (tmp_path / "short.yml").write_text("training: {method: prompts, epochs: 1}\n")
    for lower_better in (False, True):
        turned = dataclasses.replace(ratings, lower_better=lower_better)
        notes += grmp.compare(turned, "entropy").notes
        adapted = grmp.adapt(turned, 4, small_checkpoint(), config=tmp_path / "short.yml", device="cpu")
        notes += adapted.notes
    assert any("correlates negatively" in note.message for note in notes)
    assert any("MOS scale" in note.message for note in notes)
    return found | {name for note in notes for name in note.see}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def test_a_ratings_file_can_be_read_in_another_way(from_file, small_checkpoint, tmp_path):
    assert from_file.adjustable == set(RatingsOptions.__annotations__)
    assert advised(from_file, small_checkpoint, tmp_path) >= ADVICE


def test_nothing_is_advised_that_a_known_data_set_refuses(from_file, small_checkpoint, tmp_path):
    assert not advised(fixed(from_file), small_checkpoint, tmp_path) & ADVICE
    assert not fixed(from_file).subset(np.arange(3)).adjustable


def test_the_demo_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "PICTURES", 2)
    monkeypatch.setattr(demo, "VERSIONS", 2)
    assert demo.demo_ratings(tmp_path / "demo").adjustable == frozenset()


@pytest.mark.parametrize("name", ["lower_better", "mos_range", "image_column", "raw"])
def test_any_option_that_is_given_is_refused_where_it_has_no_effect(from_file, name):
    value = {"lower_better": False, "mos_range": (0.0, 9.0), "image_column": "image", "raw": True}[name]
    for ratings in (from_file, "demo"):
        with pytest.raises(InputError, match="applies to ratings files and data frames, not to") as caught:
            as_ratings(ratings, **{name: value})
        assert caught.value.argument == name
    with pytest.raises(InputError, match="applies to ratings, and these are images") as caught:
        grmp.compare(list(from_file.images), "entropy", **{name: value})
    assert caught.value.argument == name


def test_switches_that_are_off_are_not_given(from_file):
    assert as_ratings(from_file, raw=False, skip_bad=False, lower_better=None, mos_range=None) is from_file
    assert grmp.compare(list(from_file.images), "entropy", raw=False, skip_bad=True).failure is None


def test_a_data_set_of_unknown_direction_is_no_source_of_tasks(monkeypatch, tmp_path):
    monkeypatch.setattr(named_data, "_load", lambda *arguments: pytest.fail("nothing is to be loaded"))
    with pytest.raises(InputError, match="does not know whether") as caught:
        named_data.named_ratings("gfiqa", tmp_path)
    assert caught.value.see == ("lower_better",)
    with pytest.raises(InputError, match=r"does not know whether.*folder of pristine images") as caught:
        task_sources.task_sources(["gfiqa"], seed=0, data_root=tmp_path)
    assert caught.value.argument == "data"
    assert caught.value.see == ("pristine",)
