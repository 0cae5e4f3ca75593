"""Ways of adapting: a linear head, and the choice by cross-validation inside the shots."""

import json
import math

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.errors import ConfigError, InputError, TrainingError, TrainingInterrupted
from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.training import few_shot, split_run
from grmp_plugin.training.choice import LEAST_TO_CHOOSE, Tried, best
from grmp_plugin.training.watch import Watch

IMAGES, SHOTS = 40, 20
METHODS = ("start", "ridge", "prompts", "prompts+ridge")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rated pictures of noise, two versions of each original."""
    folder = tmp_path_factory.mktemp("rated")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(IMAGES):
        smooth = np.linspace(0, 200, 60)[None, :, None] * rng.random((1, 1, 3))
        noisy = smooth + rng.normal(0, 2 * number, (50, 60, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", 90 - 2 * number + rng.normal(), f"original {number % 20}"))
    table = pandas.DataFrame(rows, columns=["image", "mos", "reference"])
    table.to_csv(folder / "versions.csv", index=False)
    table[["image", "mos"]].to_csv(folder / "ratings.csv", index=False)
    (folder / "short.yml").write_text("training: {epochs: 4, learning_rate: 0.01, views: 2}\n")
    return folder


@pytest.fixture
def adapt(folder, small_checkpoint):
    def call(shots=SHOTS, ratings="ratings.csv", **arguments):
        usual = {
            "model": small_checkpoint("trunk", "crops"),
            "config": folder / "short.yml",
            "device": "cpu",
            "mos_range": (0, 100),
        }
        wanted = folder / ratings if isinstance(ratings, str) else ratings
        return grmp.adapt(wanted, shots, **{**usual, **arguments})

    return call


def choosing(monkeypatch, method):
    """Let the choice be a method, whatever was found."""

    def chosen(tried):
        return next(each for each in tried if each.method == method)

    monkeypatch.setattr(split_run, "best", chosen)
    monkeypatch.setattr(few_shot, "best", chosen)


def test_ridge_learns_what_a_few_ratings_say(adapt):
    found = adapt(method="ridge")
    (split,) = found.splits
    assert (split.method, split.tried) == ("ridge", ())
    assert found.after.srcc > 0.8  # how noisy they are
    assert found.difference.srcc > 0.1
    assert split.moved == 0
    assert math.isnan(split.angle)
    assert {"head.bias", "head.features", "head.statistics"} <= found.checkpoint.tensors.keys()


def test_the_model_predicts_what_the_table_says(adapt, tmp_path, folder):
    found = adapt(method="ridge", out=tmp_path / "mine.safetensors")
    scores = grmp.score(folder, tmp_path / "mine.safetensors", scale="mos", device="cpu").rows
    of_image = {row["image"].rsplit("/", 1)[-1]: row["score"] for row in scores}
    for row in found.predictions:
        assert of_image[row["image"].rsplit("/", 1)[-1]] == pytest.approx(row["after"], abs=1e-3)


@pytest.mark.parametrize("ratings", ["ratings.csv", "versions.csv"])
def test_the_choice_is_recorded(adapt, ratings, tmp_path):
    found = adapt(ratings=ratings, out=tmp_path / "mine.safetensors", seed=1)
    (split,) = found.splits
    assert [each.method for each in split.tried] == ["start", "ridge", *["prompts", "prompts+ridge"] * 4]
    assert {(each.learning_rate, each.epochs) for each in split.tried[2:]} == {
        (rate, epochs) for rate in (0.01, 0.05) for epochs in (2, 4)
    }
    assert split.tried[0].gain == 0
    assert split.method == best(split.tried).method
    assert found.after.srcc > found.before.srcc
    info = read_checkpoint(tmp_path / "mine.safetensors").info
    assert info["method"] == split.method
    assert [Tried(**each) for each in info["tried"]] == list(split.tried)
    assert found.to_dict()["splits"][0]["tried"][1]["method"] == "ridge"
    assert any("chosen by cross-validation" in note.message for note in found.notes)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_carried_out(adapt, monkeypatch, small_checkpoint, method):
    choosing(monkeypatch, method)
    found = adapt()
    (split,) = found.splits
    assert split.method == method
    assert (split.moved > 0) == ("prompts" in method)
    assert math.isnan(split.angle) == ("prompts" not in method)
    assert ("head.bias" in found.checkpoint.tensors) == ("ridge" in method)
    start = small_checkpoint("trunk", "crops")
    changed = {
        name
        for name, tensor in start.tensors.items()
        if not torch.equal(tensor.float(), found.checkpoint.tensors[name].float())
    }
    assert bool(changed) == ("prompts" in method)
    if method == "start":
        assert found.difference.srcc == 0
    assert ("epochs" in found.checkpoint.info) == ("prompts" in method)
    assert GRMPIQA(found.checkpoint)(torch.rand(1, 3, 40, 40)).isfinite().all()


def test_a_second_adaptation_builds_on_the_first_ones_head(adapt):
    first = adapt(method="ridge")
    second = adapt(method="ridge", model=first.checkpoint, seed=1, include_learned=True)
    assert second.before.srcc > 0.8
    assert second.after.srcc > 0.8
    prompts = adapt(method="prompts", model=first.checkpoint, seed=1, include_learned=True)
    assert "head.bias" not in prompts.checkpoint.tensors
    assert prompts.before.srcc == second.before.srcc


def test_few_shots_keep_the_start_and_say_so(adapt):
    found = adapt(LEAST_TO_CHOOSE - 1)
    (split,) = found.splits
    assert (split.method, split.tried, split.interval) == ("start", (), None)
    assert found.difference.srcc == 0
    assert any("too few to show" in note.message and note.see == ("method",) for note in found.notes)


def test_a_start_that_is_right_is_kept(adapt, folder):
    # Ratings in the order of the start's own scores: nothing can be better.
    paths = {row["image"]: row["before"] for row in adapt(2, method="ridge").predictions}
    table = pandas.DataFrame({"image": list(paths), "mos": list(paths.values())})
    found = adapt(ratings=table, mos_range=(0, 100))
    assert found.splits[0].method == "start"
    assert found.splits[0].tried[0].krcc == 1
    assert found.before.srcc == found.after.srcc == pytest.approx(1)
    # Too small to change an order: no gain, whatever ridge regression makes of these parts.
    still = adapt(ratings=table, mos_range=(0, 100), learning_rate=1e-9).splits[0].tried
    assert [each.krcc for each in still if each.method == "prompts"] == pytest.approx([1] * 4)
    assert [each.error for each in still if each.method == "prompts"] == [0] * 4


class StopAfter(Watch):
    """Asks to stop after some steps, of whatever training."""

    def __init__(self, asked):
        self._left = asked

    def should_stop(self):
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize("asked", [9, 41])
def test_an_interrupted_choice_goes_on_to_the_same(adapt, monkeypatch, tmp_path, asked):
    """In a training of the cross-validation, and in the final one."""
    choosing(monkeypatch, "prompts+ridge")
    whole = adapt()
    out = tmp_path / "mine.safetensors"
    with pytest.raises(TrainingInterrupted):
        adapt(out=out, progress=StopAfter(asked))
    resumed = adapt(out=out, resume=True)
    assert [s.to_dict() for s in resumed.splits] == [s.to_dict() for s in whole.splits]
    for name, tensor in whole.checkpoint.tensors.items():
        assert torch.equal(tensor, resumed.checkpoint.tensors[name]), name


def test_the_interval_is_in_units_of_the_ratings(adapt):
    (split,) = adapt(20, method="ridge").splits
    assert split.interval.level == 0.9
    assert 1 < split.interval.half_width < 40
    tested = pandas.DataFrame(split.tested)
    held = ((tested.after - tested.mos).abs() <= split.interval.half_width).mean()
    assert split.coverage == pytest.approx(held)


def test_the_same_head_has_the_same_interval_however_it_was_chosen(adapt, monkeypatch):
    choosing(monkeypatch, "ridge")
    (chosen,), (wanted,) = adapt().splits, adapt(method="ridge").splits
    assert chosen.interval == wanted.interval


def test_lambda_rate_and_epochs_are_settings(adapt):
    found = adapt(method="prompts", strength=0.0, learning_rate=0.02, epochs=3)
    info = found.checkpoint.info
    assert (info["strength"], info["learning_rate"], info["epochs"]) == (0.0, 0.02, 3)
    assert math.isnan(found.splits[0].angle)


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"method": "rigde"}, "method"),
        ({"method": "ridge", "protocol": "released"}, "method"),
        ({"strength": -1.0}, "strength"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_values_that_cannot_be_used(adapt, arguments, argument):
    with pytest.raises(ConfigError) as caught:
        adapt(**{"mos_range": None, **arguments})
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("argument", "value"), [("strength", 3), ("learning_rate", 3), ("epochs", 3), ("precision", "bf16")]
)
def test_ridge_takes_no_gradient_steps(adapt, argument, value):
    with pytest.raises(InputError, match="which method ridge does not take") as problem:
        adapt(method="ridge", **{argument: value})
    assert problem.value.argument == argument


def test_all_images_may_be_learned_from(adapt):
    found = adapt(IMAGES, method="ridge")
    assert found.splits[0].shots == IMAGES
    assert found.before.images == found.after.images == 0
    assert math.isnan(found.difference.srcc)
    assert found.predictions == []
    assert found.verdict == f"learned from all {IMAGES} ratings, so none is left to test on"
    assert found.splits[0].interval.half_width > 0
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(InputError, match="or all 40 without a test"):
        adapt(IMAGES - 1, method="ridge")


def test_scores_with_an_interval(adapt, folder, tmp_path):
    found = adapt(20, method="ridge")
    half = found.splits[0].interval.half_width
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    scores = grmp.score([folder, broken], found, scale="mos", interval=True, device="cpu")
    assert scores.columns == ("image", "score", "low", "high", "error")
    assert scores.run.to_dict()["interval"] == {"level": 0.9, "half_width": half}
    for row in scores.rows[:-1]:
        assert row["low"] == pytest.approx(max(0, row["score"] - half))
        assert row["high"] == pytest.approx(min(100, row["score"] + half))
    assert scores.rows[-1]["low"] is None
    other = grmp.score(folder, found, scale="mos", mos_range=(1, 5), interval=True, device="cpu")
    assert other.interval.half_width == pytest.approx(half * 4 / 100)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("ridge", {"scale": "quality"}, "predicted MOS only"),
        ("prompts", {"scale": "mos"}, "does not record how far"),
        ("ridge", {"scale": "mos", "out": "scores"}, "written as they come"),
    ],
)
def test_intervals_that_are_not_known(adapt, folder, tmp_path, method, options, words):
    found = adapt(20, method=method)
    if "out" in options:
        options = options | {"out": tmp_path / "scores"}
    with pytest.raises(InputError, match=words) as caught:
        grmp.score(folder, found, interval=True, **options)
    assert caught.value.argument == "interval"


def test_gradient_steps_that_fail_are_not_chosen(adapt, tmp_path):
    """The larger of the rates that are tried breaks down; the run, and one that is resumed, go on."""
    rate = 1e6 / 5
    with pytest.raises(TrainingError, match="not finite"):
        adapt(method="prompts", learning_rate=rate, epochs=60)
    found = adapt(learning_rate=rate, epochs=60, splits=2)
    for split in found.splits:
        failed = [each for each in split.tried if math.isnan(each.krcc)]
        assert failed
        assert split.method not in {each.method for each in failed} | {"prompts"}
    json.dumps(found.to_dict(), allow_nan=False)
    out = tmp_path / "mine.safetensors"
    assert adapt(learning_rate=rate, epochs=60, out=out).splits[0].method == found.splits[0].method
    assert None in {each["krcc"] for each in read_checkpoint(out).info["tried"]}
    outcome = found.splits[0]
    assert outcome.interval is not None
