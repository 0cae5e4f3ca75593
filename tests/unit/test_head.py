"""A linear head: in the network, in a checkpoint, and fitted by ridge regression."""

import dataclasses
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge

from grmp_plugin.errors import CheckpointError
from grmp_plugin.network.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.head import HeadInputs, has_head, without_head
from grmp_plugin.network.precision import reduce_precision
from grmp_plugin.network.preprocess import make_views, normalize
from grmp_plugin.network.start import with_new_prompts
from grmp_plugin.training.ridge import fit_ridge, start_logits

KINDS = list(product(("vit", "trunk"), ("squash", "crops")))


def with_head(checkpoint: Checkpoint, seed: int = 0, size: float = 0.3) -> Checkpoint:
    """The checkpoint with a random head."""
    network, rng = GRMPIQA(checkpoint), torch.Generator().manual_seed(seed)
    inputs = read_by_head(network, torch.rand(1, 3, 40, 40, generator=rng))
    sizes = {"bias": 1, "logit": 1, "features": inputs.features.shape[1]}
    if inputs.statistics is not None:
        sizes["statistics"] = inputs.statistics.shape[1]
    head = {f"head.{name}": size * torch.randn(count, generator=rng) for name, count in sizes.items()}
    return dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, **head})


@torch.no_grad()
def read_by_head(network, images):
    views = make_views(images, network.config.preprocess)
    tokens, statistics = network.embed(normalize(views.flatten(0, 1), network.config.preprocess))
    shape = views.shape[:2]
    mean = None if statistics is None else statistics.unflatten(0, shape).mean(1)
    return network.head_inputs(tokens.unflatten(0, shape), statistics=mean)


@pytest.fixture
def images():
    return torch.rand(3, 3, 50, 70, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("variant", "kind"), KINDS)
def test_score_is_the_sigmoid_of_a_weighted_sum(small_checkpoint, images, variant, kind):
    network = GRMPIQA(with_head(small_checkpoint(variant, kind)))
    head, visual = network.head, network.clip.visual
    views = make_views(images, network.config.preprocess)
    expected = []
    for each in views:
        pixels = normalize(each, network.config.preprocess)
        features = network.image_features(pixels)
        logits = network.quality_logits(features)
        total = head.bias + head.logit * (logits[:, 0] - logits[:, 1]) + features @ head.features
        if variant == "trunk":
            view = visual.conv1.standardized_view(visual.conv1.net.statistics(pixels).view)
            total = total + view @ head.statistics
        expected.append(torch.sigmoid(total.mean()))
    torch.testing.assert_close(network(images)[:, 0], torch.stack(expected), rtol=0, atol=2e-6)
    assert (head.statistics is None) == (variant == "vit")


@pytest.mark.parametrize(("variant", "kind"), KINDS)
def test_a_head_of_the_prompts_alone_changes_nothing_but_the_mean(small_checkpoint, images, variant, kind):
    plain = small_checkpoint(variant, kind)
    checkpoint = with_head(plain, size=0.0)
    checkpoint.tensors["head.logit"].fill_(1)
    found, expected = GRMPIQA(checkpoint)(images), GRMPIQA(plain)(images)
    # The mean of the views is taken of logits, not of probabilities; with one view they are the same.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 if kind == "squash" else 1e-3)


@pytest.mark.parametrize(("variant", "kind"), KINDS)
def test_gradients_reach_the_pixels_through_the_head(small_checkpoint, images, variant, kind):
    network = GRMPIQA(with_head(small_checkpoint(variant, kind)))
    pixels = images.clone().requires_grad_()
    network(pixels).sum().backward()
    assert torch.isfinite(pixels.grad).all()
    assert (pixels.grad.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("variant", ["vit", "trunk"])
def test_half_precision_keeps_the_head(small_checkpoint, images, variant):
    checkpoint = with_head(small_checkpoint(variant, "crops"))
    expected = GRMPIQA(checkpoint)(images)
    network = reduce_precision(GRMPIQA(checkpoint), torch.bfloat16)
    assert all(parameter.dtype == torch.float32 for parameter in network.head.parameters())
    torch.testing.assert_close(network(images), expected, rtol=0, atol=2e-2)


def test_written_and_read(small_checkpoint, images, tmp_path):
    checkpoint = with_head(small_checkpoint("trunk", "crops"))
    checkpoint.tensors["head_prior"] = torch.rand(len(checkpoint.tensors["head.statistics"]), 5)
    write_checkpoint(checkpoint, tmp_path / "head.safetensors")
    found = read_checkpoint(tmp_path / "head.safetensors")
    assert has_head(found)
    network = GRMPIQA(found)
    assert torch.equal(network(images), GRMPIQA(checkpoint)(images))
    assert network.head_prior.shape[1] == 5
    assert not has_head(without_head(found))
    assert not has_head(with_new_prompts(found, 0))


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("head.features", torch.zeros(7), "head.features is 7, expected"),
        ("head.statistics", torch.zeros(4), "unexpected: head.statistics"),
        (
            "head_prior",
            torch.zeros(7, 2),
            "head_prior: expected .* convolutional trunk, found a tensor .7, 2.",
        ),
        ("head_prior", torch.zeros(7), "head_prior: expected a table .*, found a tensor .7,."),
        ("head.bias", torch.tensor([torch.nan]), "head.bias"),
    ],
)
def test_heads_that_do_not_fit_are_refused(small_checkpoint, name, tensor, words):
    checkpoint = with_head(small_checkpoint())
    checkpoint.tensors[name] = tensor
    with pytest.raises(CheckpointError, match=words):
        GRMPIQA(checkpoint)


def test_part_of_a_head_is_refused(small_checkpoint):
    checkpoint = with_head(small_checkpoint())
    del checkpoint.tensors["head.bias"]
    with pytest.raises(CheckpointError, match=r"missing: head\.bias"):
        GRMPIQA(checkpoint)


# Ridge regression


@pytest.fixture(params=["vit", "trunk", "trunk with prior"])
def fitted(request, small_checkpoint):
    """A network, what a head reads of 30 images, the start's logits, quality."""
    checkpoint = small_checkpoint(request.param.split()[0], "crops")
    rng = np.random.default_rng(3)
    network = GRMPIQA(checkpoint)
    example = read_by_head(network, torch.rand(1, 3, 40, 40))
    features = rng.normal(size=(30, example.features.shape[1]))
    statistics = None
    if request.param != "vit":
        count = example.statistics.shape[1]
        statistics = torch.from_numpy(rng.normal(size=(30, count)))
        if "prior" in request.param:
            tensors = {"head_prior": torch.from_numpy(rng.normal(size=(count, 9))).float()}
            network = GRMPIQA(dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, **tensors}))
    logit = rng.normal(size=30)
    inputs = HeadInputs(torch.from_numpy(logit), torch.from_numpy(features), statistics)
    quality = 1 / (1 + np.exp(-(0.5 * logit + features[:, 0] + 0.3 * rng.normal(size=30))))
    return network, inputs, start_logits(network, inputs), quality


def chosen(inputs, numbers):
    return HeadInputs(*(None if each is None else each[numbers] for each in inputs))


def test_left_out_predictions_are_those_of_fits_without_the_image(fitted, monkeypatch):
    from grmp_plugin.training import ridge

    network, inputs, start, quality = fitted
    # One penalty, and scales that do not depend on the image left out.
    monkeypatch.setattr(ridge, "_PENALTIES", np.array([1.0]))
    whole = fit_ridge(network, inputs, start, quality)
    for number in (0, 11, 29):
        others = np.delete(np.arange(30), number)
        without = fit_ridge(network, chosen(inputs, others), start[others], quality[others])
        predicted = without.predict(chosen(inputs, [number]), start[[number]])
        assert whole.left_out[number] == pytest.approx(predicted[0], abs=0.03)


def test_weights_are_those_of_scikit_learn(fitted, monkeypatch):
    from grmp_plugin.training import ridge

    network, inputs, start, quality = fitted
    monkeypatch.setattr(ridge, "_PENALTIES", np.array([0.5]))
    found = fit_ridge(network, inputs, start, quality)
    blocks, shares = [start[:, None], inputs.features.numpy()], [0.2, 1.0]
    if inputs.statistics is not None:
        blocks.append(inputs.statistics.numpy())
        shares = [0.2, 0.25, 1.0]
    if network.head_prior is not None:
        blocks.append(inputs.statistics.numpy() @ network.head_prior.double().numpy())
        shares.append(1.0)
    scaled = []
    for block, share in zip(blocks, shares, strict=True):
        centred = block - block.mean(0)
        scaled.append(centred * np.sqrt(share / (centred**2).sum(1).mean()))
    target = 4 * (quality - 0.5)
    expected = SklearnRidge(alpha=0.5).fit(np.hstack(scaled), target).predict(np.hstack(scaled))
    np.testing.assert_allclose(found.predict(inputs, start), 1 / (1 + np.exp(-expected)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("variant", ["vit", "trunk"])
def test_the_network_predicts_what_was_fitted(small_checkpoint, variant, own):
    checkpoint = small_checkpoint(variant, "crops")
    if own:
        checkpoint = with_head(checkpoint)
    network = GRMPIQA(checkpoint)
    images = torch.rand(12, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    read = read_by_head(network, images)
    inputs = HeadInputs(*(None if each is None else each.double() for each in read))
    start = start_logits(network, inputs)
    if own:
        np.testing.assert_allclose(
            1 / (1 + np.exp(-start)), network(images)[:, 0].detach().numpy(), rtol=0, atol=1e-5
        )
    quality = np.random.default_rng(1).random(12)
    fitted = fit_ridge(network, inputs, start, quality)
    adapted = GRMPIQA(
        dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, **fitted.tensors(network.head)})
    )
    np.testing.assert_allclose(
        adapted(images)[:, 0].detach().numpy(), fitted.predict(inputs, start), rtol=0, atol=2e-5
    )


def test_equal_ratings_give_equal_scores(fitted):
    network, inputs, start, _ = fitted
    found = fit_ridge(network, inputs, start, np.full(30, 0.7))
    np.testing.assert_allclose(found.predict(inputs, start), 1 / (1 + np.exp(-0.8)), rtol=0, atol=1e-9)


def test_equal_features_are_left_aside(fitted):
    network, inputs, start, quality = fitted
    same = inputs._replace(features=torch.ones_like(inputs.features))
    found = fit_ridge(network, same, start, quality)
    assert not found.features.any()
    assert np.isfinite(found.predict(same, start)).all()
