"""The embedded model as it is shipped: its size, its card, and what it says of photographs."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_image

from grmp_plugin.errors import VocabularyError
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.models import MODELS
from grmp_plugin.synthetic.distortions import DISTORTIONS, distort
from grmp_plugin.synthetic.pseudo_mos import pseudo_mos

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(str(path) for path in (ROOT / "examples").glob("*.jpg"))
TINY = ("grmp_iqa-tiny", "grmp_iqa-tiny-meta")
# Scores of the released files.
RELEASED = {
    "grmp_iqa-tiny": {
        "astronaut": 0.6616,
        "astronaut_gaussian_blur": 0.1247,
        "chelsea": 0.7436,
        "chelsea_white_noise": 0.2490,
        "coffee": 0.7308,
        "coffee_jpeg": 0.1856,
        "rocket": 0.7359,
        "rocket_contrast_decrease": 0.5341,
    },
    "grmp_iqa-tiny-meta": {
        "astronaut": 0.9417,
        "astronaut_gaussian_blur": 0.0548,
        "chelsea": 0.9163,
        "chelsea_white_noise": 0.0390,
        "coffee": 0.8957,
        "coffee_jpeg": 0.0544,
        "rocket": 0.9091,
        "rocket_contrast_decrease": 0.6106,
    },
}


@pytest.fixture(scope="module")
def network():
    return GRMPIQA("grmp_iqa-tiny")


def scores(precision="fp32", model="grmp_iqa-tiny"):
    scorer = Scorer(GRMPIQA(model), ScoringOptions(device="cpu", precision=precision))
    return {Path(row.image).stem: row.score for row in scorer.score(EXAMPLES)}


@pytest.mark.parametrize("model", TINY)
def test_file_and_card_belong_together(model):
    path = MODELS[model].path
    assert path.stat().st_size < 16e6
    card = path.with_name("grmp_iqa-tiny.md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card


@pytest.mark.parametrize("model", TINY)
def test_scores_are_those_of_the_release(model):
    assert scores(model=model) == pytest.approx(RELEASED[model], abs=1e-3)


def test_roles_are_told():
    """The metric has seen quality labels; the backbone of the meta-prompts has not."""
    metric, meta = (GRMPIQA(name).info for name in TINY)
    assert metric["quality_labels"] is True
    assert "quality_labels" not in meta
    assert len(meta["held_out"]) >= len(DISTORTIONS) / 4
    assert set(meta["learned_from"]) == {"photographs"}, "no rated image"
    assert len(metric["learned_from"]["ratings"]) == len(metric["learned_from"]["originals"]) == 581
    digests = [digest for images in metric["learned_from"].values() for digest in images.values()]
    assert all(len(digest) == 64 for digest in digests)


@pytest.mark.parametrize("model", TINY)
@pytest.mark.parametrize("kind", ["white_noise", "jpeg", "gaussian_blur", "contrast_decrease"])
def test_worse_copies_have_lower_scores(model, kind):
    """From level 2 on; a slight distortion may raise the score, as the model card says."""
    network = GRMPIQA(model)
    for number, path in enumerate(p for p in EXAMPLES if "_" not in Path(p).stem):
        pristine = np.asarray(Image.open(path).convert("RGB"))
        found = []
        for image in (pristine, *(distort(pristine, kind, level, number) for level in range(2, 6))):
            tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
            with torch.inference_mode():
                found.append(network(tensor).item())
        assert all(np.diff(found[1:]) < 0.005), (path, found)
        assert found[0] > found[4], (path, found)


def test_every_degraded_example_is_below_its_original():
    found = scores()
    degraded = [name for name in found if "_" in name]
    assert len(degraded) == 4
    for name in degraded:
        assert found[name] < found[name.split("_")[0]], found


def test_bfloat16_stays_close():
    full, reduced = scores(), scores("bf16")
    assert max(abs(full[name] - reduced[name]) for name in full) < 0.01


def test_judges_distorted_photographs(network):
    """A part of tests/benchmarks/embedded_quality.py, whose whole result stands in the model card."""
    photographs = [skimage.data.coffee(), skimage.data.chelsea(), load_sample_image("china.jpg")]
    labels, found = [], []
    for number, pristine in enumerate(photographs):
        for kind in DISTORTIONS:
            for level in (1, 3, 5):
                image = distort(pristine, kind, level, number)
                labels.append(pseudo_mos(pristine, image))
                tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
                with torch.inference_mode():
                    found.append(network(tensor).item())
    assert spearmanr(found, labels).statistic >= 0.65


def test_scenes_are_known_and_other_words_are_not(network):
    assert network.scene_logits(torch.rand(1, 192)).shape == (1, 9)
    with pytest.raises(VocabularyError, match="xylophonist"):
        network.text_features(["a photo of a xylophonist"])


def test_large_small_and_odd_images_score(network):
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (40, 900), (1500, 2100)):
        image = torch.from_numpy(rng.random((1, 3, height, width), dtype=np.float32))
        with torch.inference_mode():
            assert 0 < network(image).item() < 1


def test_a_copy_without_loss_has_the_same_score(tmp_path):
    copy = tmp_path / "copy.png"
    Image.open(EXAMPLES[0]).save(copy)
    command = [sys.executable, "-m", "grmp_cli.app", "score", EXAMPLES[0], copy, "--format", "json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = json.loads(run.stdout)["images"]
    assert first["score"] == pytest.approx(second["score"], abs=1e-6)
