"""`grmp_plugin.adapt` and `grmp_plugin.pretrain` as called from Python, on a small random network."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import grmp_configs as configs
import numpy as np
import pandas
import pytest
import torch
import yaml
from PIL import Image
from scipy import stats
from stop_after import StopAfter

import grmp_plugin as grmp
from grmp_plugin.api.split_result import MedianAgreement, MedianDifference
from grmp_plugin.data.kinds import unread_kind
from grmp_plugin.data.left_out import left_out_words
from grmp_plugin.data.walk import walk
from grmp_plugin.errors import ConfigError, InputError, TrainingError, TrainingInterrupted
from grmp_plugin.network.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from grmp_plugin.training import task_sources
from grmp_plugin.training.named_data import data_set_names
from grmp_plugin.training.presets import PRESETS, find_config, read_config, with_arguments
from grmp_plugin.training.settings import AdaptConfig, AdaptSettings, PretrainConfig, PretrainSettings

NAMES = ("srcc", "plcc", "krcc", "rmse")
IMAGES, SHOTS, EPOCHS = 16, 5, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rated images, ratings.csv, and configurations of short trainings."""
    folder = tmp_path_factory.mktemp("rated")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    rows = []
    for number in range(IMAGES):
        smooth = np.linspace(0, 200, 40)[None, :, None] * rng.random((1, 1, 3))
        noisy = smooth + rng.normal(0, 4 * number, (36, 40, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number}.png")
        rows.append((f"images/{number}.png", 90 - 5 * number + rng.normal()))
    pandas.DataFrame(rows, columns=["image", "mos"]).to_csv(folder / "ratings.csv", index=False)
    (folder / "short.yml").write_text(
        f"training: {{method: prompts, epochs: {EPOCHS}, learning_rate: 0.05}}\n"
    )
    (folder / "meta.yml").write_text(
        "training: {tasks_per_step: 2, images_per_task: 6, support_batch: 3, query_batch: 2, "
        "inner_learning_rate: 1.0e-3}\n"
    )
    (folder / "pristine").mkdir()
    for number in range(2):
        pixels = rng.integers(0, 256, (12, 12, 3)).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "pristine" / f"{number}.png")
    return folder


@pytest.fixture
def adapt(folder, small_checkpoint):
    """`grmp_plugin.adapt` of the small network on the ratings, for a short time."""

    def call(ratings=None, **arguments):
        usual = {"shots": SHOTS, "model": small_checkpoint(), "config": folder / "short.yml"}
        return grmp.adapt(folder / "ratings.csv" if ratings is None else ratings, **{**usual, **arguments})

    return call


@pytest.fixture(scope="module")
def adapted(folder, small_checkpoint):
    return grmp.adapt(
        folder / "ratings.csv", SHOTS, small_checkpoint(), config=folder / "short.yml", device="cpu"
    )


def same_tensors(first: Checkpoint, second: Checkpoint) -> bool:
    assert first.tensors.keys() == second.tensors.keys()
    return all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())


# The result


def test_before_after_and_difference_are_those_of_the_predictions(adapted):
    table = pandas.DataFrame(adapted.predictions)
    assert list(table.columns) == ["seed", "image", "mos", "before", "after"]
    assert len(table) == IMAGES - SHOTS
    for when in ("before", "after"):
        found = getattr(adapted, when)
        assert found.images == len(table)
        assert found.srcc == pytest.approx(stats.spearmanr(table[when], table.mos).statistic)
        assert found.plcc == pytest.approx(stats.pearsonr(table[when], table.mos).statistic)
        assert found.krcc == pytest.approx(stats.kendalltau(table[when], table.mos).statistic)
        assert found.rmse == pytest.approx(np.sqrt(np.mean((table[when] - table.mos) ** 2)))
        assert found.srcc_interval.low <= found.srcc <= found.srcc_interval.high
    assert adapted.difference.srcc == pytest.approx(adapted.after.srcc - adapted.before.srcc)
    assert adapted.before.rmse != adapted.after.rmse


def test_an_older_checkpoint_is_replaced_with_a_note(adapt, tmp_path):
    first = adapt(out=tmp_path / "mine.safetensors")
    again = adapt(out=tmp_path / "mine.safetensors")
    assert [note.message for note in again.notes if "replaced" in note.message] == [
        f"{tmp_path / 'mine.safetensors'} exists and will be replaced"
    ]
    assert not any("replaced" in note.message for note in first.notes)


@pytest.mark.parametrize("function", [grmp.adapt, grmp.compare, grmp.benchmark])
def test_misspelled_argument_is_named_with_its_function(folder, function):
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) .*'mos_colum'. Did you mean 'mos_column'"):
        function(folder / "ratings.csv", mos_colum="mos")


def test_shots_and_test_images_are_all_images(adapted):
    (split,) = adapted.splits
    tested = {row["image"] for row in split.tested}
    assert len(split.learned_from) == split.shots == SHOTS
    assert len(tested | set(split.learned_from)) == IMAGES
    assert split.moved > 0
    assert split.skipped_steps == 0
    assert split.best_epoch is None


def test_rows_are_one_per_split(adapted):
    table = adapted.to_pandas()
    assert len(table) == len(adapted) == 1
    row = table.iloc[0]
    assert (row.seed, row.shots, row.images) == (0, SHOTS, IMAGES - SHOTS)
    for name in NAMES:
        assert row[f"{name}_before"] == getattr(adapted.before, name)
        assert row[f"{name}_after"] == getattr(adapted.after, name)
    assert (row.srcc_difference, row.srcc_low) == (
        adapted.difference.srcc,
        adapted.difference.srcc_interval.low,
    )


def test_dictionary_is_plain_and_complete(adapted):
    document = json.loads(json.dumps(adapted.to_dict()))
    assert list(document) == ["run", "before", "after", "difference", "splits"]
    assert document["before"]["srcc"] == adapted.before.srcc
    assert document["before"]["srcc_interval"] == list(adapted.before.srcc_interval)
    assert document["difference"]["srcc"] == adapted.difference.srcc
    run = document["run"]
    assert (run["command"], run["seed"], run["device"], run["images"]) == ("adapt", 0, "cpu", IMAGES)
    assert (run["settings"]["shots"], run["settings"]["epochs"]) == (SHOTS, EPOCHS)
    assert run["date"] < "3"
    assert len(run["weights_sha256"]) == 64
    (split,) = document["splits"]
    assert split["mos_scale"]["source"] == "the shots' min and max"
    assert len(split["tested"]) == IMAGES - SHOTS


def test_files(adapted, tmp_path):
    assert json.loads(adapted.write(tmp_path / "a.json").read_text()) == adapted.to_dict()
    table = pandas.read_csv(adapted.write(tmp_path / "a.csv"))
    assert table.srcc_after[0] == pytest.approx(adapted.after.srcc)


def test_notebook_shows_rows_and_verdict(adapted):
    page = adapted._repr_html_()
    assert "<th>srcc_after</th>" in page
    assert f"{SHOTS} ratings changed SRCC by {adapted.difference.srcc:+.3f}" in adapted.verdict
    assert adapted.verdict in page.replace("&#43;", "+")
    assert adapted.verdict in repr(adapted)


def test_notes_name_arguments_and_no_options(adapted):
    assert any("MOS scale" in note.message and note.see == ("mos_range",) for note in adapted.notes)
    assert not any("--" in note.message for note in adapted.notes)


def test_nothing_is_printed(adapt, capfd):
    adapt()
    assert capfd.readouterr() == ("", "")


# Ratings and models


def test_data_frame_and_read_ratings_give_the_same(adapt, adapted, folder):
    frame = pandas.read_csv(folder / "ratings.csv", float_precision="round_trip")
    others = [adapt(frame, images_folder=folder), adapt(grmp.read_ratings(folder / "ratings.csv"))]
    for other in others:
        assert [s.to_dict() for s in other.splits] == [s.to_dict() for s in adapted.splits]
        assert same_tensors(other.checkpoint, adapted.checkpoint)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shots": "20"}, "shots: expected a whole number, found '20'"),
        ({"shots": 20.5}, "shots: expected a whole number, found 20.5"),
        ({"epochs": True}, "epochs: expected a whole number, found True"),
        ({"method": 3}, "method: expected text, found 3"),
        ({"ratings": {"image": ["a.png"], "mos": [1]}}, "not dict"),
        ({"ratings": 5}, "not int"),
    ],
)
def test_arguments_of_another_type_are_named(adapt, arguments, words):
    with pytest.raises((ConfigError, InputError)) as caught:
        adapt(**arguments)
    assert words in str(caught.value)


def test_numbers_of_numpy_are_taken(adapt, adapted):
    assert same_tensors(adapt(shots=np.int64(SHOTS)).checkpoint, adapted.checkpoint)


def test_split_columns_that_are_not_used_are_mentioned(adapt, folder):
    frame = pandas.read_csv(folder / "ratings.csv").assign(split=["train"] * 10 + ["test"] * 6, split2="x")

    def mentioned(**arguments):
        notes = adapt(frame, images_folder=folder, **arguments).notes
        return [str(note) for note in notes if "split column" in note.message]

    assert mentioned() == ["not used: the split column 'split' (see split_column)"]
    assert mentioned(split_column="split") == []


def test_model_file_result_and_network(adapt, adapted, small_checkpoint, small_network, tmp_path):
    write_checkpoint(small_checkpoint(), tmp_path / "start.safetensors")
    from_file = adapt(model=tmp_path / "start.safetensors")
    assert same_tensors(from_file.checkpoint, adapted.checkpoint)
    assert same_tensors(adapt(model=small_network()).checkpoint, adapted.checkpoint)
    again = adapt(model=adapted, include_learned=True)
    assert again.run.details["model"] == adapted.checkpoint.source
    assert [row["before"] for row in again.predictions] == pytest.approx(
        [row["after"] for row in adapted.predictions], abs=1e-4
    )


def test_another_start_has_another_digest(adapt, adapted, small_checkpoint):
    other = adapt(model=small_checkpoint(seed=1))
    assert other.run.details["weights_sha256"] != adapted.run.details["weights_sha256"]


def test_several_splits_give_medians(adapt):
    several = adapt(splits=5, seed=4)
    assert [split.seed for split in several.splits] == [4, 5, 6, 7, 8]
    assert isinstance(several.before, MedianAgreement)
    assert isinstance(several.difference, MedianDifference)
    for name in NAMES:
        values = [getattr(split.after, name) for split in several.splits]
        assert getattr(several.after, name) == np.median(values)
        assert getattr(several.after, f"{name}_min") == min(values)
        assert getattr(several.after, f"{name}_max") == max(values)
    low, high = several.difference.srcc_interval
    assert low <= several.difference.srcc <= high
    assert len(several.predictions) == 5 * (IMAGES - SHOTS)
    assert several.to_dict()["after"]["srcc_max"] == several.after.srcc_max
    assert same_tensors(several.checkpoint, adapt(seed=4).checkpoint)


def test_released_protocol_chooses_an_epoch_and_says_so(adapt):
    found = adapt(protocol="released")
    assert found.splits[0].best_epoch == 0  # it evaluates after five epochs, and there are four
    assert found.splits[0].moved == 0
    assert any("optimistic" in note.message for note in found.notes)


def test_narrow_ratings_are_noted(adapt, adapted):
    assert any("cover only part of the scale" in n.message for n in adapt(mos_range=(-1000, 1000)).notes)
    assert not any("cover only part" in note.message for note in adapted.notes)


def test_bad_rows_and_images_are_skipped_on_request(adapt, folder):
    frame = pandas.read_csv(folder / "ratings.csv").astype({"mos": object})
    (folder / "images" / "torn.png").write_bytes(b"no image")
    frame.loc[len(frame)] = ["images/torn.png", 50.0]
    with pytest.raises(InputError) as caught:
        adapt(frame, images_folder=folder)
    assert "torn.png" in caught.value.message
    assert caught.value.see == ("skip_bad",)
    frame.loc[len(frame)] = ["images/gone.png", 50.0]
    found = adapt(frame, images_folder=folder, skip_bad=True)
    assert [row.image.rpartition("/")[2] for row in found.skipped] == ["gone.png", "torn.png"]
    assert found.run.details["images"] == IMAGES
    assert len(found.to_dict()["run"]["skipped"]) == 2


# Saving and scoring


def test_saved_model_is_the_checkpoint(adapted, tmp_path):
    file = adapted.save(tmp_path / "mine.safetensors")
    saved = read_checkpoint(file)
    assert same_tensors(saved, adapted.checkpoint)
    assert saved.info["metrics"] == {
        "before": adapted.before.as_dict(),
        "after": adapted.after.as_dict(),
    }
    assert saved.info["mos_scale"] == dataclasses.asdict(adapted.splits[0].mos_scale)
    with pytest.raises(InputError, match=r"mine\.safetensors"):
        adapted.save(tmp_path / "mine.pt")


def test_scores_on_the_scale_of_the_ratings_are_the_predictions(adapted):
    paths = [row["image"] for row in adapted.predictions]
    scores = adapted.score(paths, scale="mos")
    assert [row["score"] for row in scores.rows] == pytest.approx(
        [row["after"] for row in adapted.predictions], abs=0.1
    )


# Interrupting and resuming


@pytest.mark.parametrize("problem", ["is missing", "has changed since"])
def test_a_file_that_the_run_did_not_write_is_not_claimed(adapt, tmp_path, problem):
    out, state = tmp_path / "mine.safetensors", tmp_path / "mine.safetensors.state"
    with pytest.raises(TrainingInterrupted):
        adapt(splits=2, out=out, progress=StopAfter(EPOCHS + 1))
    if problem == "is missing":
        out.rename(tmp_path / "away.safetensors")
    else:
        out.write_bytes(b"another file")
    kept = state.read_bytes()
    with pytest.raises(TrainingError, match=problem) as caught:
        adapt(splits=2, out=out, resume=True)
    assert caught.value.argument == "resume"
    assert state.read_bytes() == kept


def test_the_ratings_images_and_model_are_not_overwritten(adapt, tmp_path):
    out = tmp_path / "mine.safetensors"
    adapt(out=out)
    kept = out.read_bytes()
    with pytest.raises(InputError, match="is the input") as caught:
        adapt(model=str(out), out=out)
    assert caught.value.argument == "out"
    assert out.read_bytes() == kept


@pytest.mark.parametrize("steps", [2, EPOCHS + 1])
def test_interrupted_and_resumed_gives_the_same(adapt, tmp_path, steps):
    """In the first split, and in the second one."""
    out = tmp_path / "mine.safetensors"
    whole = adapt(splits=2)
    with pytest.raises(TrainingInterrupted):
        adapt(splits=2, out=out, progress=StopAfter(steps))
    assert out.with_name("mine.safetensors.state").exists()
    with pytest.raises(TrainingError, match="seed: 0 there, 1 here") as caught:
        adapt(splits=2, seed=1, out=out, resume=True)
    assert caught.value.argument == "resume"
    resumed = adapt(splits=2, out=out, resume=True)
    assert [s.to_dict() for s in resumed.splits] == [s.to_dict() for s in whole.splits]
    assert same_tensors(resumed.checkpoint, whole.checkpoint)
    assert same_tensors(read_checkpoint(out), whole.checkpoint)
    assert resumed.checkpoint.source == str(out)
    assert not out.with_name("mine.safetensors.state").exists()
    with pytest.raises(InputError, match="nothing to resume"):
        adapt(splits=2, out=out, resume=True)


def test_a_state_that_will_be_replaced_is_noted(adapt, tmp_path):
    out = tmp_path / "mine.safetensors"
    with pytest.raises(TrainingInterrupted):
        adapt(out=out, progress=StopAfter(1))
    assert any(note.see == ("resume",) for note in adapt(out=out).notes)


def test_progress_function_receives_all_stages(adapt):
    seen = []
    adapt(progress=seen.append)
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == ["reading images", "scoring before training", "training", "scoring after training"]
    training = [progress for progress in seen if progress.stage == "training"]
    assert [progress.done for progress in training] == list(range(1, EPOCHS + 1))
    assert {progress.total for progress in training} == {EPOCHS}
    assert "quality loss" in training[0].detail


# Settings


def test_settings_of_the_backbone_then_config_then_arguments(folder):
    assert read_config(AdaptConfig, None).training == AdaptSettings()
    assert read_config(AdaptConfig, None, backbone="ViT-B-16").training == AdaptSettings()
    measured = read_config(AdaptConfig, None, backbone="grmp-tiny").training
    assert (measured.epochs, measured.learning_rate, measured.strength) == (50, 0.05, 5.0)
    assert read_config(PretrainConfig, None, backbone="grmp-tiny").training.outer_steps == 20
    (folder / "some.yml").write_text("seed: 7\ntraining: {epochs: 3}\n")
    both = read_config(AdaptConfig, folder / "some.yml", backbone="grmp-tiny")
    assert (both.seed, both.training.epochs, both.training.learning_rate) == (7, 3, 0.05)
    assert with_arguments(both.training, shots=9, protocol=None) == dataclasses.replace(
        both.training, shots=9
    )


def test_released_protocol_implies_its_settings(folder):
    """Those of the authors' released code, below what a configuration says and above what was measured."""
    alone = read_config(AdaptConfig, None, backbone="grmp-tiny", protocol="released").training
    assert (alone.protocol, alone.epochs, alone.learning_rate) == ("released", 2000, 0.05)
    (folder / "few.yml").write_text("training: {method: prompts, protocol: released, epochs: 3}\n")
    assert read_config(AdaptConfig, folder / "few.yml", backbone="grmp-tiny").training.epochs == 3
    own = read_config(AdaptConfig, folder / "few.yml", protocol="own").training
    assert (own.protocol, own.epochs) == ("own", 3)
    chained = read_config(PretrainConfig, None, backbone="grmp-tiny", protocol="released")
    assert chained.data == ("tid2013", "kadid10k")
    assert (chained.training.tasks_per_step, chained.training.outer_steps) == (24, 100)
    assert chained.training.outer_learning_rate == 0.01
    for name in (each for each in PRESETS["adapt"] if each.startswith("paper/")):
        preset = read_config(AdaptConfig, name).training
        assert (preset.epochs, preset.test_share) == (2000, AdaptSettings.RELEASED_TEST_SHARE)
    preset = read_config(PretrainConfig, "paper/pretrain")
    assert dataclasses.replace(preset, model="") == dataclasses.replace(
        read_config(PretrainConfig, None, protocol="released"), model=""
    )


@pytest.mark.parametrize(
    ("name", "data", "synthetic"),
    [
        *(("spaq", "spaq", False), ("flive", "flive", False), ("koniq", "koniq10k", False)),
        *(("livec", "livec-1169", False), ("pipal", "pipal", True), ("live", "live", True)),
        ("csiq", "csiq", True),
    ],
)
def test_presets_of_the_papers_data_sets(name, data, synthetic):
    preset = read_config(AdaptConfig, f"paper/{name}")
    assert preset.data == data
    assert data in data_set_names()
    assert preset.training.batch_size == (16 if synthetic else 192)
    assert preset.training.split_by == ("image" if synthetic else "reference")


def test_released_protocol_tests_a_fifth(adapt):
    found = adapt(protocol="released")
    assert found.run.details["settings"]["test_share"] == 0.2
    assert found.before.images == 3  # of 16


def test_splitting_by_image_is_for_the_released_protocol_only(adapt):
    found = adapt(protocol="released", split_by="image")
    assert found.run.details["settings"]["split_by"] == "image"
    with pytest.raises(ConfigError, match="as only protocol released does") as caught:
        adapt(split_by="image")
    assert caught.value.argument == "split_by"


@pytest.mark.parametrize(("arguments", "shared"), [({}, False), ({"split_by": "image"}, True)])
def test_versions_of_an_original_are_on_both_sides_only_when_split_by_image(adapt, folder, arguments, shared):
    frame = pandas.read_csv(folder / "ratings.csv", float_precision="round_trip")
    frame["original"] = [f"{number % 4}.png" for number in range(IMAGES)]
    options = {"images_folder": folder, "reference_column": "original", "protocol": "released"}
    (split,) = adapt(frame, **options, **arguments).splits

    def originals(images):
        return {int(Path(image).stem) % 4 for image in images}

    learned = originals(split.learned_from)
    assert bool(learned & originals(row["image"] for row in split.tested)) == shared


def test_pyiqas_configuration_has_the_measured_settings():
    """`configs/pyiqa/adapt.yml` trains the small model as `grmp adapt` does."""
    options = yaml.safe_load(Path(configs.__file__).with_name("pyiqa").joinpath("adapt.yml").read_text())
    measured = read_config(AdaptConfig, None, backbone="grmp-tiny").training
    train = options["train"]
    assert train["optim"] == {
        "type": "SGD",
        "lr": measured.learning_rate,
        "weight_decay": measured.weight_decay,
    }
    assert train["total_epoch"] == train["scheduler"]["T_max"] == measured.epochs
    assert train["strength"] == measured.strength
    assert options["datasets"]["train"]["shots"] == measured.shots


def test_pyiqas_pretraining_has_the_measured_settings():
    """`configs/pyiqa/pretrain.yml` trains the small model as `grmp pretrain` does."""
    options = yaml.safe_load(Path(configs.__file__).with_name("pyiqa").joinpath("pretrain.yml").read_text())
    measured = read_config(PretrainConfig, None, backbone="grmp-tiny").training
    train = options["train"]
    assert train["optim"] == {"type": "Adam", "lr": measured.inner_learning_rate}
    for name in ("outer_learning_rate", "tasks_per_step", "support_batch", "query_batch"):
        assert train[name] == getattr(measured, name)
    assert train["total_iter"] == measured.outer_steps * measured.tasks_per_step


def test_python_users_get_the_settings_of_the_backbone(folder, small_checkpoint):
    start = small_checkpoint()
    tiny = dataclasses.replace(start.config.backbone, name="grmp-tiny")
    start = dataclasses.replace(start, config=dataclasses.replace(start.config, backbone=tiny))
    (folder / "epoch.yml").write_text("training: {method: prompts, epochs: 1}\n")
    found = grmp.adapt(folder / "ratings.csv", SHOTS, start, config=folder / "epoch.yml")
    settings = found.run.details["settings"]
    assert (settings["epochs"], settings["learning_rate"], settings["shots"]) == (1, 0.05, SHOTS)


@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage in PRESETS for name in PRESETS[stage]])
def test_presets_are_valid(stage, name):
    kind = {"adapt": AdaptConfig, "pretrain": PretrainConfig}[stage]
    assert read_config(kind, name) == read_config(kind, find_config(f"{name}.yml", stage))


@pytest.mark.parametrize("kind", [AdaptSettings, PretrainSettings])
def test_former_name_of_the_released_protocol(kind):
    assert kind(protocol="released").protocol == "released"
    with pytest.raises(ConfigError, match=r"not 'reference' \(now called 'released'\)"):
        kind(protocol="reference")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "kind", "argument", "words"),
    [
        ({"shots": 1}, ConfigError, "shots", "at least 2"),
        ({"protocol": "relesed"}, ConfigError, "protocol", "own or released"),
        ({"sampling": "sprad"}, ConfigError, "sampling", "random or spread"),
        ({"config": "papr/livec"}, InputError, "config", "Did you mean 'paper/livec'?"),
        ({"out": "mine.pt"}, InputError, "out", "mine.safetensors"),
        ({"out": "no/mine.safetensors"}, InputError, "out", "does not exist"),
        ({"resume": True}, InputError, "resume", "output file"),
        ({"device": "mps"}, InputError, "device", "auto, cpu or cuda"),
        ({"split_column": "side"}, InputError, "split_column", "'side'"),
        ({"mos_column": "opinion"}, InputError, "mos_column", "'opinion'"),
        ({"mos_range": (0, 100), "protocol": "released"}, InputError, "mos_range", "released"),
        ({"shots": 15}, InputError, None, "14 shots or fewer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_errors_name_the_argument(adapt, arguments, kind, argument, words):
    with pytest.raises(kind) as caught:
        adapt(**arguments)
    assert caught.value.argument == argument
    assert words in caught.value.message
    assert "--" not in str(caught.value)


def test_options_of_files_are_refused_for_ratings_that_were_read(adapt, folder):
    with pytest.raises(InputError) as caught:
        adapt(grmp.read_ratings(folder / "ratings.csv"), mos_column="mos")
    assert caught.value.argument == "mos_column"


def test_missing_model_of_a_configuration(folder):
    (folder / "model.yml").write_text("model: prompts.safetensors\n")
    with pytest.raises(InputError) as caught:
        grmp.adapt(folder / "ratings.csv", config=folder / "model.yml")
    assert "prompts.safetensors" in caught.value.message
    assert "model.yml names it" in caught.value.message
    assert caught.value.see == ("model",)


# Pre-training


@pytest.fixture(scope="module")
def pretrained(folder, small_checkpoint):
    return grmp.pretrain(
        pristine=folder / "pristine",
        model=small_checkpoint(),
        outer_steps=2,
        config=folder / "meta.yml",
        device="cpu",
    )


def test_only_prompts_are_learned(pretrained, small_checkpoint):
    start = small_checkpoint().tensors
    changed = {name for name, t in pretrained.checkpoint.tensors.items() if not torch.equal(t, start[name])}
    assert changed
    assert all(name.startswith(("text_prompt.", "visual_prompts.")) for name in changed)


def test_rows_are_the_learning_curve(pretrained):
    table = pretrained.to_pandas()
    assert list(table.columns) == ["outer_step", "support_loss", "query_loss", "prompts_moved"]
    assert table.outer_step.tolist() == [1, 2]
    assert (table.support_loss > 0).all()
    assert table.prompts_moved.is_monotonic_increasing
    assert pretrained.prompts_moved == pytest.approx(table.prompts_moved.iloc[-1], abs=1e-6)
    document = pretrained.to_dict()
    assert list(document) == ["run", "prompts"]
    info = dict(pretrained.checkpoint.info)
    assert len(info.pop("learned_from")["photographs"]) == 2
    assert document["prompts"] == info
    assert document["run"]["command"] == "pretrain"
    assert document["run"]["settings"]["outer_steps"] == 2
    assert "2 outer steps" in repr(pretrained)


def test_files_of_the_folder_that_are_not_read_are_noted_after_one_search(
    folder, small_checkpoint, tmp_path, monkeypatch
):
    pristine = tmp_path / "pristine"
    shutil.copytree(folder / "pristine", pristine)
    (pristine / "photo.jxr").touch()
    (pristine / "photo.bpg").touch()
    kinds = {unread_kind(str(path)): 1 for path in pristine.glob("photo.*")}
    searched = []

    def counting(place, *arguments):
        searched.append(place)
        return walk(place, *arguments)

    monkeypatch.setattr("grmp_plugin.data.paths.walk", counting)
    learned = grmp.pretrain(
        pristine=pristine, model=small_checkpoint(), outer_steps=1, config=folder / "meta.yml", device="cpu"
    )
    assert [note.message for note in learned.notes] == left_out_words(kinds)
    assert learned.notes
    assert len(searched) == 1


def test_pretraining_resumed_gives_the_same(pretrained, folder, small_checkpoint, tmp_path):
    out = tmp_path / "prompts.safetensors"
    arguments = {
        "pristine": folder / "pristine",
        "model": small_checkpoint(),
        "outer_steps": 2,
        "config": folder / "meta.yml",
        "out": out,
    }
    with pytest.raises(TrainingInterrupted):
        grmp.pretrain(**arguments, progress=StopAfter(3))
    resumed = grmp.pretrain(**arguments, resume=True)
    assert same_tensors(resumed.checkpoint, pretrained.checkpoint)
    assert resumed.checkpoint.info["learned_from"] == pretrained.checkpoint.info["learned_from"]
    assert resumed.rows == pretrained.rows
    assert same_tensors(read_checkpoint(out), pretrained.checkpoint)
    other = {**arguments, "model": small_checkpoint(seed=1), "out": tmp_path / "other.safetensors"}
    with pytest.raises(TrainingInterrupted):
        grmp.pretrain(**other, progress=StopAfter(1))
    with pytest.raises(TrainingError, match="weights_sha256"):
        grmp.pretrain(**{**other, "model": small_checkpoint()}, resume=True)


def test_drawn_pictures_and_adaptation_from_the_prompts(adapt, folder, small_checkpoint, monkeypatch):
    drawn_tasks = task_sources.drawn_tasks
    monkeypatch.setattr(
        task_sources, "drawn_tasks", lambda **options: drawn_tasks(**options, pictures_per_task=2)
    )
    (folder / "least.yml").write_text("training: {tasks_per_step: 1, images_per_task: 4}\n")
    seen = []
    prompts = grmp.pretrain(
        "drawn", model=small_checkpoint(), outer_steps=1, config=folder / "least.yml", progress=seen.append
    )
    assert [(progress.stage, progress.done, progress.total) for progress in seen] == [("training", 1, 1)]
    assert prompts.checkpoint.info["data"] == ["drawn scenes"]
    found = adapt(model=prompts)
    assert found.run.details["model"] == prompts.checkpoint.source
    ctx = found.checkpoint.tensors["visual_prompts.prompt_embeddings"]
    assert torch.equal(ctx, prompts.checkpoint.tensors["visual_prompts.prompt_embeddings"])


@pytest.mark.parametrize(
    ("arguments", "argument", "see"),
    [
        ({"data": "drawn", "pristine": "x"}, "pristine", ()),
        ({"data": "drwn"}, "data", ("pristine",)),
        ({"data": "drawn", "outer_steps": 0}, "outer_steps", ()),
        ({"data": "drawn", "out": "prompts.pt"}, "out", ()),
    ],
    ids=str,
)
def test_errors_of_pretraining_name_the_argument(small_checkpoint, arguments, argument, see):
    with pytest.raises(grmp.GRMPError) as caught:
        grmp.pretrain(model=small_checkpoint(), **arguments)
    assert (caught.value.argument, caught.value.see) == (argument, see)


# The command


def test_the_command_prints_the_dictionary(folder, adapt, small_checkpoint, tmp_path):
    from grmp_cli.app import app
    from typer.testing import CliRunner

    model = tmp_path / "start.safetensors"
    write_checkpoint(small_checkpoint(), model)
    arguments = [folder / "ratings.csv", "--shots", SHOTS, "--model", model, "--config", folder / "short.yml"]
    done = CliRunner().invoke(app, ["adapt", *map(str, arguments), "--device", "cpu", "--format", "json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    expected = adapt(model=model, device="cpu").to_dict()
    for document in (printed, expected):
        assert not math.isnan(document["run"].pop("seconds"))
        assert document["run"].pop("date")
    assert printed == expected
