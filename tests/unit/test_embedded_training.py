"""The training of the embedded model on a very small recipe: one command, seeded, resumable."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from grmp_plugin.config import SCENES, read_yaml
from grmp_plugin.errors import ConfigError, VocabularyError
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.training.embedded import captions, losses, train
from grmp_plugin.training.embedded.corpus import KINDS, make_corpus
from grmp_plugin.training.embedded.settings import Recipe

SHIPPED = Path(__file__).parents[2] / "configs" / "tiny" / "embedded.yml"


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    data = yaml.safe_load(SHIPPED.read_text())
    data["network"]["backbone"]["architecture"]["vision_cfg"]["layers"] = 2
    data["corpus"] = {"pictures": 9, "side": 128, "versions": 8, "views": 2, "validation": 2}
    data["statistics"] = {"steps": 20, "batch": 16}
    data["optimizer"] |= {"steps": 4, "save_every": 2, "pictures_per_batch": 2, "versions_per_picture": 4}
    path = tmp_path_factory.mktemp("recipe") / "small.yml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture(scope="module")
def trained(recipe_file, tmp_path_factory):
    """The command, run once: its folder, with the corpus and the checkpoint."""
    work = tmp_path_factory.mktemp("work")
    command = [sys.executable, "-m", "grmp_plugin.training.embedded", recipe_file]
    run = subprocess.run(
        [*command, "--work", work, "--out", work / "model.safetensors"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert not run.stdout
    return work


def test_command_writes_a_checkpoint_that_scores(trained):
    network = GRMPIQA(str(trained / "model.safetensors"))
    assert network.info["steps"] == 4
    score = network(torch.rand(2, 3, 130, 200))
    assert score.shape == (2, 1)
    assert ((score > 0) & (score < 1)).all()


def test_interrupted_training_ends_with_the_same_weights(trained, recipe_file, tmp_path, monkeypatch):
    recipe = read_yaml(Recipe, recipe_file)
    corpus = make_corpus(recipe, trained / "corpus", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the command did
    try:
        whole = train.train(recipe, corpus, tmp_path).tensors
        assert (tmp_path / "state.pt").exists()
        (tmp_path / "state.pt").unlink()

        def interrupted(*arguments):
            for number, batch in enumerate(batches(*arguments)):
                if number == 3:
                    raise KeyboardInterrupt
                yield batch

        batches = train._batches
        monkeypatch.setattr(train, "_batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.train(recipe, corpus, tmp_path)
        monkeypatch.setattr(train, "_batches", batches)
        resumed = train.train(recipe, corpus, tmp_path).tensors
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    start = train.new_network(recipe).state_dict()
    assert not torch.equal(whole["text_prompt.ctx"], start["text_prompt.ctx"])


def test_corpus(trained, recipe_file):
    recipe = read_yaml(Recipe, recipe_file)
    corpus = make_corpus(recipe, trained / "corpus", 1)
    assert corpus.scenes.tolist() == list(range(9))
    assert corpus.quality.shape == (9, 8)
    assert (corpus.quality[:, 0] == 1).all(), "the first version is pristine"
    assert (corpus.kinds[:, 0] == 0).all()
    assert (corpus.levels[:, 1:] > 0).all()
    assert corpus.quality[:, 1:].max() < 1
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
    network = GRMPIQA(str(trained / "model.safetensors"))
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
    wrong.write_text(SHIPPED.read_text().replace("4.0e-4", "4e-4"))
    with pytest.raises(ConfigError, match=r"learning_rate: expected float.*1\.0e-4"):
        read_yaml(Recipe, wrong)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(Recipe, tmp_path / "missing.yml")


def test_losses_by_hand():
    assert losses.kind_targets(torch.tensor([[0, 0], [3, 0], [3, 4]]), 5).tolist() == [
        [1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0.5, 0.5],
    ]
    torch.testing.assert_close(
        losses.grade_targets(torch.tensor([0.0, 0.3, 1.0]), 3),
        torch.tensor([[1.0, 0, 0], [0.4, 0.6, 0], [0, 0, 1]]),
    )
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    expected = torch.nn.functional.softplus(torch.tensor(-3.0))
    torch.testing.assert_close(losses.ranking_loss(logits, torch.tensor([0.9, 0.1])), expected)
    assert losses.ranking_loss(logits, torch.tensor([0.5, 0.51])) == 0
    assert len(captions.distortion_texts()) == len(KINDS)
