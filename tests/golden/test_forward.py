"""The numbers that the authors' code gives, tests/golden/data/forward.npz, through their checkpoint format.

float64 is the truth (1e-12, on pixels normalised in float32); float32 may differ by its own rounding.
"""

import copy

import numpy as np
import pytest
import torch

from grmp_plugin.config import SCENES, PreprocessConfig
from grmp_plugin.network.precision import reduce_precision
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.texts import clip_token_ids

TEACHER_TEXTS = ("a photo with high quality.", "a photo with low quality.")
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
LOGITS, FEATURES, PROBABILITY = 1e-4, 1e-5, 2e-5  # float32


def scene_texts(config):
    return [config.scene_text.format(scene=scene) for scene in config.scenes]


def computed(network, pixels):
    """Everything that forward.npz holds, by its names there."""
    with torch.no_grad():
        features = network.image_features(pixels)
        logits = network.quality_logits(features)
        teacher = network.plain_image_features(pixels)
        scenes = scene_texts(network.config)
        teacher_texts = network.text_features([*TEACHER_TEXTS, *scenes])
        teacher_logits = network.clip.logit_scale.exp() * teacher @ teacher_texts.T
        found = {
            "logits": logits,
            "prob_high": logits.softmax(-1)[:, 0],
            "image_features": features,
            "text_features": network.quality_text_features(),
            "teacher_image_features": teacher,
            "teacher_text_quality": network.text_features(TEACHER_TEXTS),
            "teacher_text_scene": network.text_features(scenes),
            "teacher_quality_logits": teacher_logits[:, :2],
            "teacher_scene_logits": teacher_logits[:, 2:],
        }
        assert network.visual_prompts.dropout.p == 0.1
        network.visual_prompts.dropout.p = 0.0
        network.train()
        try:
            found["student_scene_logits_train_p0"] = network.scene_logits(network.image_features(pixels))
        finally:
            network.eval()
            network.visual_prompts.dropout.p = 0.1
    return found


def tolerance(name):
    if "logits" in name:
        return LOGITS
    return PROBABILITY if "prob" in name else FEATURES


def differences(found, numbers, precision):
    """Name -> largest difference from the golden numbers."""
    largest = {}
    for name, value in found.items():
        golden = numbers[f"{name}_{precision}"]
        assert value.shape == golden.shape, name
        largest[name] = float(np.abs(value.numpy() - golden).max())
    return largest


def probability(network, pixels):
    with torch.no_grad():
        return network.quality_logits(network.image_features(pixels)).softmax(-1)[:, 0].numpy()


def test_float64(network64, pixels, numbers, record_property):
    found = computed(network64, pixels.double())
    assert all(value.dtype == torch.float64 for value in found.values())
    largest = differences(found, numbers, "f64")
    record_property("largest_float64_difference", max(largest.values()))
    print("float64:", largest)
    assert {name: d for name, d in largest.items() if not d <= 1e-12} == {}


def test_float32(network, pixels, numbers, record_property):
    found = computed(network, pixels)
    largest = differences(found, numbers, "f32")
    record_property("largest_float32_difference", max(largest.values()))
    print("float32:", largest)
    assert {name: d for name, d in largest.items() if not d <= tolerance(name)} == {}
    # The truth is nearer than the tolerance, too.
    truth = differences(found, numbers, "f64")
    assert {name: d for name, d in truth.items() if not d <= tolerance(name)} == {}
    # Nothing is left out but rank correlations of the six images, which say no more.
    assert set(found) == {name.removesuffix("_f32") for name in numbers if name.endswith("_f32")} - {
        "plcc_srcc"
    }


def test_pixels_are_those_of_the_authors(pixels, numbers):
    assert numbers["crop_offset"].tolist() == [10, 10]
    assert float(pixels.double().sum()) == pytest.approx(float(numbers["input_sum_f64"]), abs=0.05)
    np.testing.assert_allclose(pixels[:, 0, 0, :8], numbers["input_first8"], atol=1e-6)


def test_forward_from_images(network, images, numbers):
    """244 x 244 pixels are squashed to themselves, so this is the authors' test path from 8-bit images."""
    with torch.no_grad():
        score = network(images)
    assert score.shape == (6, 1)
    np.testing.assert_allclose(score[:, 0], numbers["prob_high_f64"], rtol=0, atol=PROBABILITY)


def test_plain_concatenated_form(network, pixels, plain_form, numbers):
    with torch.no_grad():
        plain = plain_form.quality_logits(network, pixels).softmax(-1)[:, 0].numpy()
    np.testing.assert_allclose(plain, numbers["prob_high_f64"], rtol=0, atol=PROBABILITY)
    np.testing.assert_allclose(probability(network, pixels), plain, rtol=0, atol=1e-5)


def test_without_prompt_norm(network, pixels, numbers, monkeypatch):
    monkeypatch.setattr(network.visual_prompts, "finish", lambda class_token: class_token)
    found = probability(network, pixels)
    np.testing.assert_allclose(found, numbers["extra_prob_without_prompt_norm"], rtol=0, atol=PROBABILITY)
    assert np.abs(found - numbers["prob_high_f64"]).max() > 0.05


def test_with_clips_mean_and_deviation(network, images, numbers):
    pixels = normalize(images[..., 10:234, 10:234], PreprocessConfig(mean=CLIP_MEAN, std=CLIP_STD))
    found = probability(network, pixels)
    np.testing.assert_allclose(found, numbers["extra_prob_with_clip_mean_std"], rtol=0, atol=PROBABILITY)
    assert np.abs(found - numbers["prob_high_f64"]).max() > 0.01


def test_prompt_dropout_scatters_like_the_authors(network, pixels, numbers):
    """Not the same draws, but the same size of effect, for each image on its own."""
    some, draws = [0, 4], 6
    golden = numbers["extra_prob_dropout_p0.1_8draws"][:, some] - numbers["prob_high_f64"][some]
    network.train()
    try:
        torch.manual_seed(0)
        drawn = probability(network, pixels[some].repeat(draws, 1, 1, 1)).reshape(draws, 2)
    finally:
        network.eval()
    drawn = drawn - numbers["prob_high_f64"][some]
    assert 0.5 < np.sqrt((drawn**2).mean() / (golden**2).mean()) < 2
    assert len(np.unique(drawn.round(4))) == drawn.size


def test_scenes_are_spelled_as_the_authors_spell_them(network, numbers):
    assert tuple(numbers["scenes"]) == SCENES == network.config.scenes
    with torch.no_grad():
        underscore, space = network.text_features(["a photo of a still_life", "a photo of a still life"])
    cosine = float(underscore @ space)
    assert cosine == pytest.approx(float(numbers["extra_cos_still_life_underscore_vs_space"]), abs=1e-5)


def test_token_numbers(network, spec):
    ids = spec["token_ids"]
    for text, expected in {**ids["teacher_quality"], **ids["scenes"]}.items():
        assert clip_token_ids(text) == expected
    assert list(ids["teacher_quality"]) == list(TEACHER_TEXTS)
    assert list(ids["scenes"]) == scene_texts(network.config)
    # The student's context stands where these were "X X X X"; without them, the network's own texts remain.
    for text, expected in zip(network.config.quality_texts, ids["student_quality"].values(), strict=True):
        assert clip_token_ids(f"X X X X {text}") == expected
        assert clip_token_ids(text) == expected[:1] + expected[5:]


def test_bfloat16(network, images, numbers, record_property):
    """Blocks of the image tower in bfloat16, on this network, whose scores are far from any threshold."""
    reduced = reduce_precision(copy.deepcopy(network), torch.bfloat16)
    with torch.no_grad():
        score = reduced(images)
    assert score.dtype == torch.float32
    largest = float(np.abs(score[:, 0].numpy() - numbers["prob_high_f64"]).max())
    record_property("largest_bfloat16_difference", largest)
    print(f"bfloat16: largest difference of a score {largest:.4f}")
    assert 1e-5 < largest < 0.03


def test_text_is_cut_without_a_trace(network64, plain_form):
    """The quality texts end before position 12; 77 positions give the same features."""
    with torch.no_grad():
        whole = plain_form.text_features(network64, network64.config.quality_texts, network64.text_prompt.ctx)
        torch.testing.assert_close(network64.quality_text_features(), whole, rtol=0, atol=1e-12)
