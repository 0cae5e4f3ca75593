"""The training of the embedded models on a very small recipe: one command, seeded, resumable."""

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from grmp_plugin.config import SCENES, read_yaml
from grmp_plugin.data.images import pixels_digest, read_image
from grmp_plugin.errors import ConfigError, InputError, VocabularyError
from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.towers import embed_statistics
from grmp_plugin.synthetic.scenes import draw_scene
from grmp_plugin.training.embedded import captions, losses, make, steps, targets
from grmp_plugin.training.embedded import corpus as corpus_module
from grmp_plugin.training.embedded.backbone import split_photographs
from grmp_plugin.training.embedded.corpus import KINDS, make_corpus
from grmp_plugin.training.embedded.imagenet import ImageNetClassifier
from grmp_plugin.training.embedded.photographs import photographs, scene_of
from grmp_plugin.training.embedded.rated import RatedViews
from grmp_plugin.training.embedded.settings import Recipe
from grmp_plugin.training.embedded.shortcut import ridge_regression, with_shortcut

SHIPPED = Path(__file__).parents[2] / "configs" / "tiny" / "embedded.yml"
COMMAND = [sys.executable, "-m", "grmp_plugin.training.embedded"]
SUMMARY = {f"clip.visual.conv1.summary.{name}" for name in ("0.weight", "0.bias", "2.weight", "2.bias")}
FILES = ("backbone", "grmp_iqa-tiny-meta", "grmp_iqa-tiny")


def shipped():
    return read_yaml(Recipe, SHIPPED)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of drawn "photographs" with a manifest, and ratings of some of them."""
    folder = tmp_path_factory.mktemp("photographs")
    with (folder / "manifest.csv").open("w", newline="") as manifest, (folder / "mos.csv").open("w") as mos:
        rows = csv.writer(manifest)
        rows.writerow(["image", "set", "label", "caption"])
        mos.write("image,mos,original,pixels_sha256\n")
        for number, scene in enumerate(SCENES):
            name = f"{scene}.png"
            Image.fromarray(draw_scene(scene, number, 150, 130)).save(folder / name)
            said = "two dogs | a dog on grass" if scene == "animal" else ""
            rows.writerow([name, "phones" if number % 2 else "good", "", said])
            mos.write(f"{name},{10 * number + 5},{scene}.bmp,{number:064x}\n")
    return folder


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    recipe = yaml.safe_load(SHIPPED.read_text())
    architecture = recipe["network"]["backbone"]["architecture"]
    architecture["vision_cfg"]["layers"] = architecture["text_cfg"]["layers"] = 2
    recipe["corpus"] = {"side": 128, "versions": 5, "views": 2, "validation": 2, "authentic": ["phones"]}
    batch = {"steps": 4, "pictures_per_batch": 2, "views_per_picture": 2}
    recipe["backbone"] = {**batch, "classes_per_step": 8}
    recipe["metric"] = {**recipe["metric"], **batch, "crops": 2, "rated_per_batch": 4}
    training = {"outer_steps": 1, "tasks_per_step": 1, "support_batch": 4, "query_batch": 2}
    recipe["prompts"] |= {"pictures": 4, "pictures_per_task": 2, "training": training}
    path = tmp_path_factory.mktemp("recipe") / "small.yml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture(scope="module")
def trained(recipe_file, data, tmp_path_factory):
    """The command, run once: its folder, with the corpus and the checkpoints."""
    work = tmp_path_factory.mktemp("work")
    inputs = ["--photographs", data, "--ratings", data / "mos.csv", "--threads", "1"]
    run = subprocess.run(
        [*COMMAND, recipe_file, *inputs, "--work", work], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert not run.stdout
    return work


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the command did
    yield
    torch.set_num_threads(threads)


def tensors(work, name):
    return read_checkpoint(work / f"{name}.safetensors").tensors


def changed(first, second):
    return {name for name, tensor in first.items() if not torch.equal(tensor, second[name])}


def test_each_stage_learns_what_it_should(trained):
    backbone, meta, metric = (tensors(trained, name) for name in FILES)
    assert changed(backbone, meta)
    prompts = changed(backbone, tensors(trained, "prompts"))
    assert all(name.startswith(("text_prompt.", "visual_prompts.")) for name in prompts)
    assert changed(tensors(trained, "prompts"), meta) == SUMMARY, "the direction of distortion"
    learned = changed(meta, metric)
    assert {"text_prompt.ctx", "clip.visual.conv1.local.weight", "clip.visual.proj"} <= learned
    assert not any(name.startswith("clip.visual.conv1.net.") for name in learned), "the trunk is frozen"
    score = GRMPIQA(str(trained / "grmp_iqa-tiny.safetensors"))(torch.rand(2, 3, 230, 300))
    assert score.shape == (2, 1)
    assert ((score > 0) & (score < 1)).all()
    assert not list(trained.glob("*.pt"))


def test_checkpoints_say_what_they_learned_from(trained, data):
    meta, metric = (read_checkpoint(trained / f"{name}.safetensors").info for name in FILES[1:])
    assert set(meta["learned_from"]) == {"photographs"}
    assert meta["distortions"] == len(KINDS) - 1 - 8
    learned = metric["learned_from"]
    assert learned["photographs"]["night.png"] == pixels_digest(read_image(data / "night.png"))
    assert set(learned["ratings"]) == {f"{scene}.png" for scene in SCENES}
    assert learned["originals"]["cityscape.bmp"] == f"{1:064x}"


@pytest.mark.parametrize("interrupted_at", [3, 6])
def test_interrupted_training_ends_with_the_same_weights(
    trained, recipe_file, data, tmp_path, monkeypatch, one_thread, interrupted_at
):
    recipe = read_yaml(Recipe, recipe_file)
    for kept in ("corpus", "photographs.json", "ratings.json", "rated.npz"):
        (tmp_path / kept).symlink_to(trained / kept)
    monkeypatch.setattr(steps, "_SAVE_EVERY", 2)
    schedule, calls = steps.schedule, iter(range(100))

    def interrupted(*arguments):
        if next(calls) == interrupted_at:
            raise KeyboardInterrupt
        return schedule(*arguments)

    monkeypatch.setattr(steps, "schedule", interrupted)
    inputs = (recipe, data, data / "mos.csv", tmp_path, 1)
    with pytest.raises(KeyboardInterrupt):
        make.make_models(*inputs)
    monkeypatch.setattr(steps, "schedule", schedule)
    make.make_models(*inputs)
    for name in FILES:
        assert not changed(tensors(trained, name), tensors(tmp_path, name)), name


def test_quality_labels_reach_the_metric_alone(trained, recipe_file, data, tmp_path, monkeypatch, one_thread):
    """The honest pair: with other pseudo-MOS and other ratings the backbone is the same to the bit."""
    recipe = read_yaml(Recipe, recipe_file)
    for kept in ("corpus", "photographs.json", "ratings.json", "rated.npz"):
        (tmp_path / kept).symlink_to(trained / kept)
    other = tmp_path / "other.csv"
    rows = (data / "mos.csv").read_text().splitlines()
    other.write_text(
        "\n".join([rows[0], *(f"{data}/{row.split(',')[0]},{n},," for n, row in enumerate(rows[1:]))])
    )

    def contradicting(*arguments):
        corpus = make_corpus(*arguments)
        return dataclasses.replace(corpus, quality=1 - corpus.quality)

    monkeypatch.setattr(make, "make_corpus", contradicting)
    make.make_models(recipe, data, other, tmp_path, 1)
    same = {name: not changed(tensors(trained, name), tensors(tmp_path, name)) for name in FILES}
    assert same == {"backbone": True, "grmp_iqa-tiny-meta": True, "grmp_iqa-tiny": False}


def test_command_says_what_is_wrong(trained, recipe_file, data, tmp_path):
    other = tmp_path / "other.yml"
    other.write_text(recipe_file.read_text().replace("seed: 0", "seed: 1"))
    for recipe, folder, ratings, work, told in (
        (other, data, data / "mos.csv", trained, "another recipe"),
        (recipe_file, tmp_path / "none", data / "mos.csv", tmp_path / "a", "no such folder of photographs"),
        (recipe_file, data, tmp_path / "none.csv", tmp_path / "b", "none.csv"),
    ):
        inputs = ["--photographs", folder, "--ratings", ratings, "--work", work]
        run = subprocess.run([*COMMAND, recipe, *inputs], capture_output=True, text=True, check=False)
        assert run.returncode == 1
        assert told in run.stderr
        assert "Traceback" not in run.stderr


def test_corpus(trained, recipe_file, data):
    recipe = read_yaml(Recipe, recipe_file)
    corpus = make_corpus(recipe, photographs(data), trained / "corpus", 1)
    assert corpus.quality.shape == (9, 5)
    assert (corpus.quality[:, 0] == 1).all(), "the first version is undistorted"
    assert (corpus.kinds[:, 0] == 0).all()
    assert ((corpus.levels > 0) == (corpus.kinds > 0)).all()
    # A grey picture has no colours to lose: what some kinds leave as it was is called undistorted.
    np.testing.assert_array_equal(corpus.levels[..., 0] > 0, corpus.quality < 1)
    assert (corpus.quality[:, 1:] < 1).mean() > 0.8
    np.testing.assert_allclose(corpus.classes.astype(np.float32).sum(1), 1, atol=0.01)


def test_corpus_keeps_what_the_trunk_sees(recipe_file, data, tmp_path, monkeypatch):
    """What is kept of a view is what the network sees in it, but for half precision."""
    recipe, views = read_yaml(Recipe, recipe_file), []
    cut = corpus_module._view
    monkeypatch.setattr(corpus_module, "_view", lambda *arguments: views.append(cut(*arguments)) or views[-1])
    work = corpus_module._Work(recipe, tuple(photographs(data)[:1]), tmp_path)
    work(0)
    kept = np.load(tmp_path / "0.npz")
    assert len(views) == 5 * 2
    for number in (0, 9):
        seen = ImageNetClassifier("lite0").trunk.statistics((views[number] * 255 - 127) / 128)
        place = (0, *divmod(number, 2))
        for name in ("cells", "view"):
            found = torch.from_numpy(kept[name][place]).float()
            torch.testing.assert_close(found, getattr(seen, name)[0], atol=0.02, rtol=0.01)


def test_corpus_is_a_function_of_the_recipe(trained, recipe_file, data, tmp_path):
    recipe = read_yaml(Recipe, recipe_file)
    first = make_corpus(recipe, photographs(data), trained / "corpus", 1)
    again = make_corpus(recipe, photographs(data)[:2], tmp_path, 1)
    for name in ("view", "cells", "quality", "levels"):
        np.testing.assert_array_equal(getattr(first, name)[:2], getattr(again, name))


def test_photographs_kept_out_are_no_training_data():
    training, kept_out = split_photographs(shipped(), 1000)
    assert len(kept_out) == shipped().corpus.validation
    assert sorted([*training, *kept_out]) == list(range(1000))


def test_photographs_of_a_manifest_and_of_a_plain_folder(data, tmp_path):
    found = {p.name: p for p in photographs(data)}
    assert found["animal.png"].captions == ("two dogs", "a dog on grass")
    assert found["animal.png"].scene == SCENES.index("animal")
    assert found["night.png"].scene is None, "nothing is said of it"
    assert found["cityscape.png"].set == "phones"
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (plain,) = photographs(tmp_path)
    assert (plain.name, plain.captions, plain.scene, plain.set) == ("a.png", (), None, "")
    (tmp_path / "manifest.csv").write_text("file\na.png\n")
    with pytest.raises(InputError, match=r"manifest\.csv.*column 'image'"):
        photographs(tmp_path)


@pytest.mark.parametrize(
    ("text", "scene"),
    [
        ("a woman walking her dog at night", "night"),
        ("two men in a street", "human"),
        ("Leopards", "animal"),
        ("red telephone box in a street", "cityscape"),
        ("a kitchen with plants", "indoor"),
        ("field of tulips", "plant"),
        ("mountain lake", "landscape"),
        ("a bowl of noodles", "still_life"),
        ("car_side", "others"),
    ],
)
def test_scenes_are_read_from_words(text, scene):
    assert SCENES[scene_of(text)] == scene


def test_only_the_words_of_the_captions_are_stored(trained):
    network = GRMPIQA(str(trained / "grmp_iqa-tiny.safetensors"))
    known = captions.all_texts(network.config, ["two dogs", "a dog on grass"])
    assert network.text_features(known).shape == (len(known), 192)
    assert network.scene_logits(torch.rand(1, 192)).shape == (1, len(SCENES))
    with pytest.raises(VocabularyError, match="xylophonist"):
        network.text_features(["a photo of a xylophonist"])


def test_shipped_recipe_reads_and_says_what_is_wrong(tmp_path):
    assert shipped().network.backbone.name == "grmp-tiny"
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(SHIPPED.read_text().replace("held_out:", "held:"))
    with pytest.raises(ConfigError, match=r"prompts: unknown key 'held'\. Did you mean 'held_out'"):
        read_yaml(Recipe, wrong)
    wrong.write_text(SHIPPED.read_text().replace("haze", "hase"))
    with pytest.raises(ConfigError, match="prompts: held_out: unknown kind of distortion 'hase'"):
        read_yaml(Recipe, wrong)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(Recipe, tmp_path / "missing.yml")


def test_targets_by_hand():
    kinds = torch.tensor([[0, 0], [3, 0], [3, 4]])
    levels = torch.tensor([[0, 0], [1, 0], [3, 5]])
    faults = targets.fault_targets(kinds, levels)
    groups = captions.caption_groups(shipped().network)
    assert faults.shape == (3, len(groups["fault"]))
    torch.testing.assert_close(faults.sum(1), torch.ones(3))
    assert faults[0, 0] == 1
    torch.testing.assert_close(faults[1, 11:16], torch.tensor([0.7, 0.3, 0, 0, 0]))
    torch.testing.assert_close(faults[2, 11:21], torch.tensor([0, 0.15, 0.7, 0.15, 0, 0, 0, 0, 0.3, 0.7]) / 2)
    measures = torch.tensor([[0.9, 0.1, 0.0, 0.0]]).expand(3, 4)
    found = targets.caption_targets(measures, torch.tensor([0, -1, 8]), kinds, levels)
    assert {name: len(texts) for name, texts in groups.items()} == {n: t.shape[1] for n, t in found.items()}
    assert found["scene"].sum(1).tolist() == [1, 0, 1]
    for name, values in found.items():
        if name != "scene":
            torch.testing.assert_close(values.sum(1), torch.ones(3))
    assert groups["brightness"][found["brightness"][0].argmax()] == "a bright photo."
    assert groups["detail"][found["detail"][0].argmax()] == "a photo of low detail."
    assert groups["strength"][found["strength"][2].argmax()] == "a photo, severely distorted."
    assert groups["fault"][11] == "a photo, slightly blurred by motion."
    assert KINDS[3] == "motion_blur"


def test_no_caption_grades_quality():
    fixed = [text for group in captions.caption_groups(shipped().network).values() for text in group]
    words = {word.strip(".,") for text in fixed for word in text.split()}
    assert not words & {"bad", "poor", "fair", "good", "excellent", "quality"}


def test_losses_by_hand():
    score, quality = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.9, 0.1]])
    expected = torch.nn.functional.softplus(torch.tensor(-3.0))
    torch.testing.assert_close(losses.ranking_loss(score, quality), expected)
    assert losses.ranking_loss(score, torch.tensor([[0.5, 0.51]])) == 0
    rising = torch.tensor([1.0, 2.0, 4.0])
    for other, wanted in ((3 * rising + 1, 0.0), (-rising, 1.0)):
        torch.testing.assert_close(losses.disagreement(rising, other), torch.tensor(wanted))


def test_digests_are_json_of_names(trained):
    kept = json.loads((trained / "photographs.json").read_text())
    assert all(len(digest) == 64 for digest in kept.values())


def test_shortcut_carries_a_ridge_regression_to_the_score(trained):
    """One hidden unit of the summary predicts the ratings, and raises the score with them."""
    start = read_checkpoint(trained / "grmp_iqa-tiny-meta.safetensors")
    kept = np.load(trained / "rated.npz")
    quality = np.linspace(0.05, 0.85, 9)
    views = RatedViews(kept["cells"], kept["view"], kept["view"].shape[1] - 2, quality)
    seen = views.as_scored(np.arange(9))
    with_it = with_shortcut(start, ridge_regression(start, seen, quality), seen, strength=2.0)
    assert changed(start.tensors, with_it.tensors) == SUMMARY
    weight, bias = (with_it.tensors[f"clip.visual.conv1.summary.0.{n}"] for n in ("weight", "bias"))
    (unit,) = (weight != start.tensors["clip.visual.conv1.summary.0.weight"]).any(1).nonzero()[:, 0]
    networks = [GRMPIQA(checkpoint) for checkpoint in (start, with_it)]
    trunk = networks[1].clip.visual.conv1
    with torch.no_grad():
        told = (trunk.standardized_view(seen.view) @ weight[unit] + bias[unit]).view(9, -1).mean(1).numpy()
        scores = [
            n.quality_logits(n.token_features(embed_statistics(n.clip.visual, seen)))
            .softmax(-1)[:, 0]
            .view(9, -1)
            for n in networks
        ]
    assert np.corrcoef(told, quality)[0, 1] > 0.9
    # Around the middle of GELU's straight part, in standard deviations of the quality.
    assert abs(told.mean() - 6) < 0.1
    before, after = (np.corrcoef(score.mean(1).numpy(), quality)[0, 1] for score in scores)
    assert after > before
