"""The network as a metric: any image in, one score in [0, 1] out, and errors that say what is wrong."""

import numpy as np
import pytest
import torch

from grmp_plugin.errors import ImageError, InputError, VocabularyError
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.precision import reduce_precision

every_kind = pytest.mark.parametrize("kind", ["squash", "crops"])


def images(n, height=48, width=60, seed=0):
    """Random images, smooth ones and noisy ones, so that scores differ."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    share = torch.rand(n, 1, 1, 1, generator=generator)
    return share * smooth + (1 - share) * torch.rand(n, 3, height, width, generator=generator)


def scores(network, x):
    with torch.no_grad():
        return network(x)


@every_kind
@pytest.mark.parametrize(
    "size",
    [(1, 1), (1, 500), (500, 1), (2, 3), (37, 53), (32, 32), (36, 36), (2000, 10), (10, 2000), (300, 400)],
)
def test_any_size_gives_one_score_per_image(small_network, kind, size):
    score = scores(small_network(kind=kind), images(2, *size))
    assert score.shape == (2, 1)
    assert score.dtype == torch.float32
    assert ((score > 0) & (score < 1)).all()


@every_kind
def test_scores_differ_between_images(small_network, kind):
    score = scores(small_network(kind=kind), images(16))
    assert score.std() > 1e-3
    assert not torch.allclose(score, scores(small_network(kind=kind, seed=1), images(16)), atol=1e-3)


@every_kind
def test_no_images_give_no_scores(small_network, kind):
    assert scores(small_network(kind=kind), torch.zeros(0, 3, 40, 40)).shape == (0, 1)


@every_kind
def test_grey_is_expanded_to_rgb(small_network, kind):
    network, grey = small_network(kind=kind), images(3)[:, :1]
    assert torch.equal(scores(network, grey), scores(network, grey.repeat(1, 3, 1, 1)))


@every_kind
@pytest.mark.parametrize("variant", ["vit", "trunk"])
def test_score_does_not_depend_on_the_batch(small_network, kind, variant):
    network, x = small_network(variant, kind), images(16)
    together = scores(network, x)
    alone = torch.cat([scores(network, one) for one in x.split(1)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)
    shuffled = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(scores(network, x[shuffled]), together[shuffled], rtol=0, atol=1e-5)
    others = torch.cat([x[:1], torch.zeros(7, 3, 48, 60), torch.ones(8, 3, 48, 60)])
    torch.testing.assert_close(scores(network, others)[:1], together[:1], rtol=0, atol=1e-5)


@every_kind
@pytest.mark.parametrize("size", [(48, 60), (36, 36), (1, 1), (5, 200)])
def test_image_gradients_are_finite(small_network, kind, size):
    network = small_network(kind=kind)
    for x in (torch.zeros(2, 3, *size), torch.ones(2, 3, *size), images(2, *size)):
        x.requires_grad_()
        (1 - network(x)).mean().backward()
        assert x.grad.shape == x.shape
        assert x.grad.isfinite().all()
    assert x.grad.flatten(1).abs().sum(dim=1).min() > 0  # of the images proper


def test_image_gradient_is_the_slope_of_the_score(small_network):
    """Along a direction, at the size where nothing is resampled, as rounding to 8 bit has no slope."""
    network = small_network().double()
    x, direction = images(1, 36, 36).double(), torch.randn(1, 3, 36, 36, dtype=torch.float64)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(network(x).sum(), x)
    step = 1e-5 * direction
    measured = (scores(network, x + step) - scores(network, x - step)) / 2e-5
    assert float((slope * direction).sum()) == pytest.approx(measured.item(), rel=1e-6)


def test_gradient_of_each_image_is_its_own(small_network):
    network, x = small_network(), images(3).requires_grad_()
    network(x)[1].sum().backward()
    assert x.grad[1].any()
    assert not x.grad[0].any()
    assert not x.grad[2].any()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (torch.zeros(3, 40, 40), r"\(3, 40, 40\)"),
        (torch.zeros(40, 40), r"\(40, 40\)"),
        (torch.zeros(1, 4, 40, 40), r"\(1, 4, 40, 40\)"),
        (torch.zeros(1, 2, 40, 40), r"\(1, 2, 40, 40\)"),
        (torch.zeros(1, 0, 40, 40), r"\(1, 0, 40, 40\)"),
        (torch.zeros(1, 40, 40, 3), r"\(1, 40, 40, 3\)"),
        (torch.zeros(1, 3, 0, 40), "no pixels"),
        (torch.zeros(1, 3, 40, 0), "no pixels"),
        (torch.zeros(1, 3, 40, 40, dtype=torch.uint8), "uint8.*255"),
        (torch.zeros(1, 3, 40, 40, dtype=torch.int64), "int64"),
        (torch.zeros(1, 3, 40, 40, dtype=torch.bool), "bool"),
        (np.zeros((1, 3, 40, 40), np.float32), "ndarray"),
        ("photo.jpg", "str"),
        (None, "NoneType"),
    ],
)
def test_wrong_tensors_are_named(small_network, wrong, named):
    with pytest.raises(ImageError, match=named):
        small_network()(wrong)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_of_other_precision(small_network, kind, dtype):
    network, x = small_network(kind=kind), images(3).to(dtype)
    score = scores(network, x)
    assert score.dtype == torch.float32
    torch.testing.assert_close(score, scores(network, x.float()), rtol=0, atol=1e-6)


@every_kind
@pytest.mark.parametrize("variant", ["vit", "layer scale", "trunk"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_whole_network_in_half_precision(small_network, kind, variant, dtype):
    network = small_network(variant, kind)
    expected = scores(network, images(4))
    score = scores(network.to(dtype), images(4))
    torch.testing.assert_close(score.float(), expected, rtol=0, atol=0.05)
    assert score.isfinite().all()
    with torch.inference_mode():
        assert network(images(1).to(dtype)).shape == (1, 1)


@pytest.mark.parametrize("variant", ["vit", "layer scale", "trunk", "other options"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_reduced_precision(small_network, variant, dtype):
    network = small_network(variant)
    expected = scores(network, images(8))
    assert reduce_precision(network, dtype) is network
    score = scores(network, images(8))
    assert score.dtype == torch.float32
    torch.testing.assert_close(score, expected, rtol=0, atol=0.02)
    assert not torch.equal(score, expected)
    assert network.clip.visual.transformer.resblocks[0].mlp.c_fc.weight.dtype == dtype
    kept = {p.dtype for name, p in network.named_parameters() if ".ln_" in name or "prompt" in name}
    assert kept == {torch.float32}
    back = scores(reduce_precision(network, torch.float32), images(8))
    torch.testing.assert_close(back, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_image_gradients_in_reduced_precision(small_network, dtype):
    network, x = small_network().requires_grad_(False), images(2).requires_grad_()
    (expected,) = torch.autograd.grad(network(x).sum(), x)
    (found,) = torch.autograd.grad(reduce_precision(network, dtype)(x).sum(), x)
    assert found.isfinite().all()
    assert (found - expected).norm() <= 0.1 * expected.norm()


def test_double_precision(small_network):
    network = small_network()
    expected = scores(network, images(3))
    exact = scores(network.double(), images(3).double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact.float(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(scores(network, images(3)), exact, rtol=0, atol=1e-6)


def test_dropout_only_in_training(small_network):
    network, x = small_network(), images(4)
    assert not network.training
    expected = scores(network, x)
    assert torch.equal(scores(network, x), expected)
    network.train()
    draws = torch.stack([scores(network, x) for _ in range(6)])
    assert (draws.std(dim=0) > 1e-5).all()
    same = scores(network, x[:1].expand(4, -1, -1, -1))
    assert len(same.unique()) == 4  # one image four times in a batch: four masks
    network.visual_prompts.dropout.p = 0.0
    torch.testing.assert_close(scores(network, x), expected, rtol=0, atol=1e-5)
    network.eval()
    assert torch.equal(scores(network, x), expected)


def test_features_and_logits(small_network):
    network = small_network()
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        features = network.image_features(pixels)
        quality, scenes = network.quality_logits(features), network.scene_logits(features)
        assert features.shape == (5, 32)
        assert (quality.shape, scenes.shape) == ((5, 2), (5, 9))
        texts = (
            network.quality_text_features(),
            network.scene_text_features(),
            network.text_features(["high quality."]),
        )
        assert [len(t) for t in texts] == [2, 9, 1]
        for unit in (features, network.plain_image_features(pixels), *texts):
            torch.testing.assert_close(unit.norm(dim=-1), torch.ones(len(unit)))
        scale = network.clip.logit_scale.exp()
        torch.testing.assert_close(quality, scale * features @ texts[0].T)
        torch.testing.assert_close(scenes, scale * features @ texts[1].T)
    assert not torch.allclose(texts[0][:1], texts[2], atol=1e-3)  # the learned context tells them apart


def test_each_text_is_read_at_its_own_end(small_network):
    network = small_network()
    texts = ["photo", "a photo of a still_life", "high quality."]
    with torch.no_grad():
        together = network.text_features(texts)
        alone = torch.cat([network.text_features([text]) for text in texts])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_score_is_the_weight_of_the_first_text_averaged_over_views(small_network):
    network = small_network(kind="crops")
    views = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        each = torch.stack(
            [
                network.quality_logits(network.image_features((v - mean) / std)).softmax(-1)[:, 0]
                for v in views
            ]
        )
        torch.testing.assert_close(
            network.score_views(views), each.mean(dim=1, keepdim=True), rtol=0, atol=1e-6
        )
    assert each.std() > 1e-4


def test_words_that_are_not_carried(small_network):
    network = small_network()
    with pytest.raises(VocabularyError, match="'unicorn' in 'a photo of a unicorn'") as caught:
        network.text_features(["a photo of a animal", "a photo of a unicorn"])
    assert "full CLIP" in str(caught.value)
    with pytest.raises(VocabularyError, match=r"longer.*77"):
        network.text_features(["photo " * 100])
    network.text_features(["photo of high quality a a a"])  # known words in a new order


def test_scene_words_that_are_not_carried(small_checkpoint):
    """A model that stores the words of its quality texts only still scores, and says what it lacks."""
    from grmp_plugin.network.checkpoint import Checkpoint
    from grmp_plugin.network.texts import vocabulary_of

    full = small_checkpoint()
    words = vocabulary_of(full.config.quality_texts)
    kept = torch.isin(full.tensors["vocabulary"], words)
    embedding = "clip.token_embedding.weight"
    small = {**full.tensors, "vocabulary": words, embedding: full.tensors[embedding][kept]}
    network = GRMPIQA(Checkpoint(full.config, small))
    torch.testing.assert_close(scores(network, images(2)), scores(GRMPIQA(full), images(2)), rtol=0, atol=0)
    with pytest.raises(VocabularyError, match="'a photo of a animal'"):
        network.scene_logits(torch.zeros(1, 32))
    with pytest.raises(VocabularyError):
        network.scene_text_features()


def test_models_by_name(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="grmp_iqa-tiny"):
        GRMPIQA("grmp_iqa-tiiny")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"nowhere\.safetensors"):
        GRMPIQA(pretrained_model_path="nowhere.safetensors")


def test_path_goes_before_the_name(small_checkpoint, tmp_path):
    from grmp_plugin.network.checkpoint import write_checkpoint

    path = tmp_path / "small.safetensors"
    write_checkpoint(small_checkpoint(), path)
    expected = scores(GRMPIQA(small_checkpoint()), images(2))
    assert torch.equal(scores(GRMPIQA("grmp_iqa", pretrained_model_path=str(path)), images(2)), expected)
    assert torch.equal(scores(GRMPIQA(str(path)), images(2)), expected)


def test_state_dict_restores_the_network(small_network):
    one, two = small_network(seed=0), small_network(seed=1)
    two.load_state_dict(one.state_dict())
    assert torch.equal(scores(one, images(3)), scores(two, images(3)))
    assert not any(t.is_meta for t in one.state_dict().values())
    assert not any(buffer.is_meta for buffer in one.buffers())


def test_network_does_not_share_tensors_with_its_checkpoint(small_checkpoint):
    checkpoint = small_checkpoint()
    before = {name: t.clone() for name, t in checkpoint.tensors.items()}
    network = GRMPIQA(checkpoint)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(torch.equal(checkpoint.tensors[name], t) for name, t in before.items())
