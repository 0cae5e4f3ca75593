"""Prompts as keys and values only, against prompts as tokens: the same numbers, and the same gradients."""

import open_clip
import pytest
import torch

from grmp_plugin.network.preprocess import make_views, normalize

BATCH = 4
every_variant = pytest.mark.parametrize("variant", ["vit", "layer scale", "trunk", "other options"])


@pytest.fixture
def pixels():
    return torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def recorded_masks(network):
    """What each call of the prompts' dropout multiplies by, appended as the network runs."""
    masks = []

    def record(module, inputs, output):
        assert (inputs[0] != 0).all()
        masks.append((output != 0).to(output.dtype) / (1 - module.p))

    network.visual_prompts.dropout.register_forward_hook(record)
    return masks


def ours(network, pixels):
    features = network.image_features(pixels)
    return torch.cat([network.quality_logits(features), network.scene_logits(features)], dim=1)


def plain(plain_form, network, pixels, masks=None):
    logits = (
        plain_form.quality_logits(network, pixels, masks),
        plain_form.scene_logits(network, pixels, masks),
    )
    return torch.cat(logits, dim=1)


def gradients(network, logits, pixels):
    """Of a loss that weighs every logit differently: to the image, and to every parameter by name."""
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits).sin()
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad((weights * logits).sum(), [pixels, *parameters], allow_unused=True)
    return dict(zip(["image", *names], found, strict=True))


@every_variant
@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
def test_outputs_and_gradients_in_float64(small_network, plain_form, pixels, variant, training):
    network = small_network(variant).double().train(training)
    pixels.requires_grad_()
    masks = recorded_masks(network)
    logits = ours(network, pixels)
    if training:
        assert [tuple(mask.shape) for mask in masks] == [(BATCH, 5, 48)] * 3
    expected = plain(plain_form, network, pixels, masks if training else None)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)
    assert logits.std(dim=0).min() > 1e-2  # otherwise equality says little

    found, wanted = gradients(network, logits, pixels), gradients(network, expected, pixels)
    learned = 0
    for name, gradient in wanted.items():
        if gradient is None or not gradient.any():
            assert found[name] is None or not found[name].any(), name
            continue
        assert found[name] is not None, name
        assert (found[name] - gradient).norm() <= 1e-10 * gradient.norm(), name
        learned += 1
    assert learned == len(wanted)  # there is no tensor that the outputs do not depend on


@every_variant
def test_probability_in_float32(small_network, plain_form, variant):
    network = small_network(variant)
    images = torch.rand(16, 3, 40, 40, generator=torch.Generator().manual_seed(6))
    pixels = normalize(make_views(images, network.config.preprocess)[:, 0], network.config.preprocess)
    with torch.no_grad():
        expected = plain_form.quality_logits(network, pixels).softmax(-1)[:, :1]
        torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-5)
        masks = recorded_masks(network.train())
        found = ours(network, pixels)[:, :2].softmax(-1)
        # The last three masks: one forward ran.
        expected = plain_form.quality_logits(network, pixels, masks).softmax(-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_masks_are_drawn_for_each_image_and_block_and_follow_the_seed(small_network, pixels):
    network = small_network().double().train()
    masks = recorded_masks(network)
    many = pixels[:1].expand(200, -1, -1, -1)
    for _ in range(2):
        torch.manual_seed(3)
        with torch.no_grad():
            network.image_features(many)
    first, second = torch.stack(masks[:3]), torch.stack(masks[3:])
    assert torch.equal(first, second)
    flat = first.flatten(0, 1).flatten(1)
    assert len(flat.unique(dim=0)) == len(flat)  # no two images, and no two blocks, share a mask
    dropped = (first == 0).double().mean()
    assert abs(dropped - 0.1) < 0.005
    # Every token and every entry is dropped about as often.
    assert ((first == 0).double().mean(dim=(0, 1)) - 0.1).abs().max() < 0.06


def test_seeded_masks_are_those_of_dropout_on_the_tokens_in_order(small_network, plain_form, pixels):
    """As the concatenated form would draw them: (B, prompts, width), block after block."""
    network = small_network().double().train()
    torch.manual_seed(11)
    found = ours(network, pixels)
    torch.manual_seed(11)
    ones = torch.ones(1, 5, 48, dtype=torch.float64)
    masks = [torch.nn.functional.dropout(ones.expand(BATCH, -1, -1), 0.1) for _ in range(3)]
    torch.testing.assert_close(found, plain(plain_form, network, pixels, masks), rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", ["vit", "layer scale", "other options"])  # the trunk is not open_clip's
def test_plain_clip_is_open_clips(small_network, plain_form, pixels, variant):
    network = small_network(variant).double()
    architecture = network.config.backbone.architecture
    text_cfg = {**architecture["text_cfg"], "vocab_size": len(network.vocabulary)}
    clip = open_clip.CLIP(**{**architecture, "text_cfg": text_cfg}).double()
    clip.load_state_dict(network.clip.state_dict())
    texts = ["a photo of a animal", "high quality."]
    rows = {int(token): row for row, token in enumerate(network.vocabulary)}
    ids = plain_form.tokenizer()(texts, context_length=77)
    # The end of text has the highest number among the rows, as in CLIP, which reads a text there.
    ids = torch.tensor([[rows[token] for token in text] for text in ids.tolist()])
    images, words, _ = clip(pixels, ids)
    torch.testing.assert_close(network.text_features(texts), words, rtol=0, atol=1e-12)
    torch.testing.assert_close(network.plain_image_features(pixels), images, rtol=0, atol=1e-12)
