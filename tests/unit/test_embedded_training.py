"""The training of the embedded model on a very small recipe: one command, seeded, resumable."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from grmp_plugin.config import SCENES, read_yaml
from grmp_plugin.errors import ConfigError, VocabularyError
from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.view_statistics import view_statistics
from grmp_plugin.training.embedded import captions, losses, stages, targets, train
from grmp_plugin.training.embedded.corpus import KINDS, make_corpus
from grmp_plugin.training.embedded.settings import Recipe, RunSettings

SHIPPED = Path(__file__).parents[2] / "configs" / "tiny" / "embedded.yml"


def shipped():
    return read_yaml(Recipe, SHIPPED)


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    data = yaml.safe_load(SHIPPED.read_text())
    architecture = data["network"]["backbone"]["architecture"]
    architecture["vision_cfg"]["layers"] = architecture["text_cfg"]["layers"] = 2
    data["corpus"] = {"pictures": 9, "side": 128, "versions": 8, "views": 2, "validation": 2}
    data["summary"] |= {"steps": 20, "pictures_per_batch": 4}
    for stage in ("backbone", "quality"):
        data[stage] |= {"steps": 4, "save_every": 2, "pictures_per_batch": 2}
    data["prompts"]["pictures"] = 4
    data["prompts"]["training"] |= {"outer_steps": 1, "tasks_per_step": 1}
    path = tmp_path_factory.mktemp("recipe") / "small.yml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture(scope="module")
def trained(recipe_file, tmp_path_factory):
    """The command, run once: its folder, with the corpus and the checkpoint."""
    work = tmp_path_factory.mktemp("work")
    command = [sys.executable, "-m", "grmp_plugin.training.embedded", recipe_file]
    run = subprocess.run([*command, "--work", work], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert not run.stdout
    return work


def test_command_writes_a_backbone_and_a_metric(trained):
    backbone, metric = (GRMPIQA(str(trained / f"{name}.safetensors")) for name in ("backbone", "quality"))
    assert (backbone.info["quality_labels"], metric.info["quality_labels"]) == (False, True)
    assert metric.info["steps"] == 4
    score = metric(torch.rand(2, 3, 130, 200))
    assert score.shape == (2, 1)
    assert ((score > 0) & (score < 1)).all()
    # The backbone is trained as CLIP is, without prompts.
    assert torch.equal(backbone.text_prompt.ctx, train.new_network(shipped()).text_prompt.ctx.half().float())
    assert not torch.equal(metric.text_prompt.ctx, backbone.text_prompt.ctx)
    assert not list(trained.glob("*.pt"))


def test_command_learns_meta_prompts_on_the_backbone(trained):
    backbone, meta = (read_checkpoint(trained / f"{name}.safetensors") for name in ("backbone", "meta"))
    changed = {name for name, t in backbone.tensors.items() if not torch.equal(t, meta.tensors[name])}
    assert changed
    assert all(name.startswith(("text_prompt.", "visual_prompts.")) for name in changed), changed
    assert len(meta.info["held_out"]) == 8
    assert meta.info["distortions"] == len(KINDS) - 1 - 8


@pytest.mark.parametrize("interrupted_at", [3, 4, 9])
def test_interrupted_training_ends_with_the_same_weights(
    trained, recipe_file, tmp_path, monkeypatch, interrupted_at
):
    recipe = read_yaml(Recipe, recipe_file)
    corpus = make_corpus(recipe, trained / "corpus", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the command did
    batches, seen = stages.batches, iter(range(12))

    def interrupted(*arguments):
        for batch in batches(*arguments):
            if next(seen) == interrupted_at:
                raise KeyboardInterrupt
            yield batch

    try:
        monkeypatch.setattr(stages, "batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.train(recipe, corpus, tmp_path)
        monkeypatch.setattr(stages, "batches", batches)
        files = train.train(recipe, corpus, tmp_path)
    finally:
        torch.set_num_threads(threads)
    for name, file in files.items():
        whole, resumed = (read_checkpoint(path).tensors for path in (trained / file.name, file))
        assert all(torch.equal(whole[key], resumed[key]) for key in whole), name


def test_a_stage_does_not_go_on_from_the_end_of_another(trained, recipe_file, tmp_path):
    """Killed when a stage's checkpoint was written and its state not yet removed."""
    recipe = read_yaml(Recipe, recipe_file)
    corpus = make_corpus(recipe, trained / "corpus", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    shutil.copy(trained / "backbone.safetensors", tmp_path)
    torch.save({"step": 4}, tmp_path / "backbone.pt")
    try:
        files = train.train(recipe, corpus, tmp_path)
    finally:
        torch.set_num_threads(threads)
    whole, found = (
        read_checkpoint(path).tensors for path in (trained / "quality.safetensors", files["quality"])
    )
    assert all(torch.equal(whole[name], found[name]) for name in whole)
    assert not list(tmp_path.glob("*.pt"))


def test_another_recipe_is_refused_a_folder(trained, recipe_file, tmp_path):
    other = tmp_path / "other.yml"
    other.write_text(recipe_file.read_text().replace("seed: 0", "seed: 1"))
    command = [sys.executable, "-m", "grmp_plugin.training.embedded", other, "--work", trained]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "another recipe" in run.stderr
    assert "Traceback" not in run.stderr


def test_quality_labels_reach_the_metric_alone(trained, recipe_file, tmp_path):
    """The honest backbone: with other pseudo-MOS it is the same to the bit."""
    recipe = read_yaml(Recipe, recipe_file)
    corpus = make_corpus(recipe, trained / "corpus", 1)
    other = dataclasses.replace(corpus, quality=1 - corpus.quality)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        files = train.train(recipe, other, tmp_path)
    finally:
        torch.set_num_threads(threads)
    same = {
        name: all(
            torch.equal(tensor, read_checkpoint(file).tensors[key])
            for key, tensor in read_checkpoint(trained / file.name).tensors.items()
        )
        for name, file in files.items()
    }
    assert same == {"backbone": True, "quality": False}


def test_versions_of_unjudged_kinds_are_left_out_of_the_quality_stage_alone(trained, recipe_file):
    recipe = read_yaml(Recipe, recipe_file)
    corpus = make_corpus(recipe, trained / "corpus", 1)
    # The plan gives each of two kinds three of the eight versions.
    kind = KINDS[corpus.kinds[0, 1, 0]]
    left_out = corpus.with_any([kind])
    assert left_out[0, 1]
    assert not left_out[:, 0].any()
    assert left_out.sum(1).max() <= 8 - recipe.quality.versions_per_picture
    for run in (None, RunSettings(unjudged=(kind,))):
        batches = list(stages.batches(recipe, recipe.quality, corpus, 0, run))
        first = 1 + 5 * (KINDS.index(kind) - 1)
        seen = max(float(batch.targets["fault"][:, first : first + 5].sum()) for batch in batches)
        assert (seen == 0) is (run is not None)


def test_corpus(trained, recipe_file):
    recipe = read_yaml(Recipe, recipe_file)
    corpus = make_corpus(recipe, trained / "corpus", 1)
    assert corpus.scenes.tolist() == list(range(9))
    assert corpus.quality.shape == (9, 8)
    assert (corpus.quality[:, 0] == 1).all(), "the first version is pristine"
    assert (corpus.kinds[:, 0] == 0).all()
    assert ((corpus.levels > 0) == (corpus.kinds > 0)).all()
    pixels = corpus.tensor([(8, 7, 1)])
    torch.testing.assert_close(torch.from_numpy(corpus.statistics[8, 7, 1:2]), view_statistics(pixels))
    # A grey picture has no colours to lose: what some kinds leave as it was is called pristine.
    np.testing.assert_array_equal(corpus.levels[..., 0] > 0, corpus.quality < 1)
    assert (corpus.quality[:, 1:] < 1).mean() > 0.8
    assert corpus.view(8, 7, 1).shape == (112, 112, 3)


def test_corpus_is_a_function_of_the_recipe(trained, recipe_file, tmp_path):
    recipe = read_yaml(Recipe, recipe_file)
    first = make_corpus(recipe, trained / "corpus", 1)
    fewer = dataclasses.replace(recipe, corpus=dataclasses.replace(recipe.corpus, pictures=2))
    again = make_corpus(fewer, tmp_path, 1)
    for version in range(8):
        np.testing.assert_array_equal(first.view(1, version, 0), again.view(1, version, 0))
    np.testing.assert_array_equal(first.quality[:2], again.quality)


def test_only_the_words_of_the_captions_are_stored(trained):
    network = GRMPIQA(str(trained / "quality.safetensors"))
    assert network.text_features(captions.all_texts(network.config)).shape[1] == 128
    assert network.scene_logits(torch.rand(1, 128)).shape == (1, len(SCENES))
    with pytest.raises(VocabularyError, match="zebra"):
        network.text_features(["a photo of a zebra"])


def test_shipped_recipe_reads_and_says_what_is_wrong(tmp_path):
    assert read_yaml(Recipe, SHIPPED).network.backbone.name == "grmp-tiny"
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(SHIPPED.read_text().replace("pictures:", "picture:"))
    with pytest.raises(ConfigError, match=r"corpus: unknown key 'picture'\. Did you mean 'pictures'"):
        read_yaml(Recipe, wrong)
    wrong.write_text(SHIPPED.read_text().replace("unjudged:", "unjuged:"))
    with pytest.raises(ConfigError, match=r"runs: unknown key 'unjuged'\. Did you mean 'unjudged'"):
        read_yaml(Recipe, wrong)
    for key, name in (("runs: unjudged", "warp"), ("prompts: held_out", "haze")):
        wrong.write_text(SHIPPED.read_text().replace(name, "wrap"))
        with pytest.raises(ConfigError, match=f"{key}: unknown kind of distortion 'wrap'"):
            read_yaml(Recipe, wrong)
    wrong.write_text(SHIPPED.read_text().replace("4.0e-4", "4e-4"))
    with pytest.raises(ConfigError, match=r"learning_rate: expected float.*1\.0e-4"):
        read_yaml(Recipe, wrong)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(Recipe, tmp_path / "missing.yml")


def test_targets_by_hand():
    kinds = torch.tensor([[0, 0], [3, 0], [3, 4]])
    levels = torch.tensor([[0, 0], [1, 0], [3, 5]])
    faults = targets.fault_targets(kinds, levels)
    assert faults.shape == (3, len(captions.caption_groups(shipped().network)["fault"]))
    torch.testing.assert_close(faults.sum(1), torch.ones(3))
    assert faults[0, 0] == 1
    torch.testing.assert_close(faults[1, 11:16], torch.tensor([0.7, 0.3, 0, 0, 0]))
    torch.testing.assert_close(faults[2, 11:21], torch.tensor([0, 0.15, 0.7, 0.15, 0, 0, 0, 0, 0.3, 0.7]) / 2)
    view = torch.full((3, 3, 16, 16), 0.9)
    found = targets.caption_targets(view, torch.tensor([0, 1, 8]), kinds, levels)
    groups = captions.caption_groups(shipped().network)
    assert {name: len(texts) for name, texts in groups.items()} == {n: t.shape[1] for n, t in found.items()}
    for values in found.values():
        torch.testing.assert_close(values.sum(1), torch.ones(3))
    assert groups["brightness"][found["brightness"][0].argmax()] == "a bright photo."
    assert groups["detail"][found["detail"][0].argmax()] == "a photo of low detail."
    assert groups["strength"][found["strength"][2].argmax()] == "a photo, severely distorted."
    assert groups["fault"][11] == "a photo, slightly blurred by motion."
    assert KINDS[3] == "motion_blur"


def test_quality_targets_by_hand():
    mos, levels = torch.tensor([1.0, 0.9, 0.5]), torch.tensor([[0, 0], [2, 0], [5, 3]])
    found = targets.quality_targets(mos, levels, 0.4)
    expected = torch.tensor([1.0, 0.6 * 0.9 + 0.4 * (1 - 0.95 * 0.4), 0.6 * 0.5 + 0.4 * 0.05])
    torch.testing.assert_close(found, expected)


def test_patches_are_left_out_but_not_the_class_token():
    tokens = torch.arange(2 * 5 * 3, dtype=torch.float32).view(2, 5, 3)
    assert stages._fewer(tokens, 0.0) is tokens
    fewer = stages._fewer(tokens, 0.5)
    assert fewer.shape == (2, 3, 3)
    torch.testing.assert_close(fewer[:, 0], tokens[:, 0])
    for image, kept in zip(tokens, fewer, strict=True):
        rows = {tuple(row.tolist()) for row in kept}
        assert len(rows) == 3
        assert rows <= {tuple(row.tolist()) for row in image}


def test_metric_is_the_mean_of_its_runs(trained, recipe_file):
    recipe = read_yaml(Recipe, recipe_file)
    names = ("backbone", "quality-0", "quality-1", "quality")
    backbone, first, second, metric = (
        read_checkpoint(trained / f"{name}.safetensors").tensors for name in names
    )
    weight, context = "clip.visual.proj", "text_prompt.ctx"
    assert len(recipe.runs) == 2
    expected = 0.2 * backbone[weight].float() + 0.4 * (first[weight].float() + second[weight].float())
    torch.testing.assert_close(metric[weight].float(), expected, atol=1e-3, rtol=1e-3)
    expected = (first[context].float() + second[context].float()) / 2
    torch.testing.assert_close(metric[context].float(), expected, atol=1e-3, rtol=1e-3)
    assert not torch.equal(first[weight], second[weight])


def test_no_caption_grades_quality():
    words = {word.strip(".,") for text in captions.all_texts(shipped().network) for word in text.split()}
    texts = [text for group in captions.caption_groups(shipped().network).values() for text in group]
    assert not words & {"bad", "poor", "fair", "good", "excellent"}
    assert not any("quality" in text for text in texts)


def test_ranking_loss_by_hand():
    score, quality = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.9, 0.1]])
    expected = torch.nn.functional.softplus(torch.tensor(-3.0))
    torch.testing.assert_close(losses.ranking_loss(score, quality), expected)
    assert losses.ranking_loss(score, torch.tensor([[0.5, 0.51]])) == 0
