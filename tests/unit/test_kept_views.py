"""Few-shot adaptation with a fixed number of kept views of each shot, and in reduced precision."""

import math

import pytest
import torch

from grmp_plugin.benchmarking.trainers import TRAINERS
from grmp_plugin.errors import ConfigError
from grmp_plugin.network.learned import first_changed_block
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.training import frozen
from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.autocast import Autocast
from grmp_plugin.training.presets import read_config
from grmp_plugin.training.settings import AdaptConfig, StepSettings
from grmp_plugin.training.views import pick_views

SHOTS = 4


def options(checkpoint, **train):
    return {
        "num_gpu": 0,
        "is_train": True,
        "dist": False,
        "manual_seed": 0,
        "network": {"type": "GRMPIQA", "model": checkpoint},
        "train": {"optim": {"type": "SGD", "lr": 0.05}, **train},
    }


def make_trainer(checkpoint, **train):
    return GRMPAdaptModel(options(checkpoint, **train))


def batch(numbers=range(SHOTS), views=1, side=36):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (SHOTS, views, 3, side, side), generator=generator, dtype=torch.uint8)
    quality, index = torch.rand(SHOTS, 1, generator=generator), torch.arange(SHOTS)
    chosen = list(numbers)
    return {"img": images[chosen], "mos_label": quality[chosen], "index": index[chosen]}


def train(trainer, steps=5, **arguments):
    for number in range(1, steps + 1):
        trainer.feed_data(batch(**arguments))
        trainer.optimize_parameters(number)
    return {name: p.detach().clone() for name, p in trainer.learned.items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


KINDS = [("squash", {}), ("crops", {"views": 3, "side": 32})]


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_a_kept_view_has_dropout_of_its_own(small_checkpoint, kind, shape):
    trainer = make_trainer(small_checkpoint("vit", kind), kept_views=3)
    block = first_changed_block(trainer.net, trainer.learned)
    assert block > 0
    images = batch(**shape)["img"]
    seen = set()
    for number in range(SHOTS):
        for view in range(3):
            found = trainer.frozen._kept_view(number, view, images[number])
            assert found.block == block
            # The same by the network itself.
            seed = number * 1_000_003 + view
            picked = pick_views(
                images[number][None], trainer.net.config.preprocess, torch.Generator().manual_seed(seed)
            )
            tokens = trainer.net.tokens(normalize(picked.float() / 255, trainer.net.config.preprocess))
            torch.testing.assert_close(found.scenes, trainer.teacher(tokens)[0])
            torch.manual_seed(seed)
            trainer.net.visual_prompts.train()
            passed = trainer.net.pass_first_blocks(tokens, block)
            torch.testing.assert_close(found.tokens, passed[0])
            seen.add(found.tokens.sum().item())
    assert len(seen) == SHOTS * 3


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_nothing_depends_on_what_is_kept(small_checkpoint, monkeypatch, kind, shape):
    checkpoint = small_checkpoint("vit", kind)
    ends, calls = [], []
    room = frozen._ROOM
    for bytes_ in (room, 0):
        monkeypatch.setattr(frozen, "_ROOM", bytes_)
        trainer = make_trainer(checkpoint, kept_views=2)
        embedded, embed = [], trainer.net.tokens

        def tokens(pixels, embedded=embedded, embed=embed):
            embedded.append(len(pixels))
            return embed(pixels)

        trainer.net.tokens = tokens
        ends.append(train(trainer, 6, **shape))
        calls.append(len(embedded))
    assert same(*ends)
    assert calls[1] == 6 * SHOTS
    assert SHOTS < calls[0] <= 2 * SHOTS  # each view once


def test_a_kept_view_does_not_depend_on_order_or_batch(small_checkpoint):
    checkpoint = small_checkpoint("vit", "squash")
    one, other = make_trainer(checkpoint, kept_views=2), make_trainer(checkpoint, kept_views=2)
    train(one, 3)
    one.set_learned(one.start_values)
    assert same(train(one, 4, numbers=(2, 0)), train(other, 4, numbers=(2, 0)))


def test_keeping_views_leaves_the_random_numbers_of_the_step_alone(small_checkpoint):
    trainer = make_trainer(small_checkpoint("vit", "squash"), kept_views=2)
    numbers = []
    for _ in range(2):  # the second time from the cache
        generator = trainer.reseed(3)
        trainer.frozen.show(batch()["img"], range(SHOTS), generator)
        numbers.append(torch.rand(3).tolist())
    assert numbers[0] == numbers[1]


def test_another_training_with_other_views_shares_nothing(small_checkpoint):
    checkpoint = small_checkpoint("vit", "squash")
    one, alike, other = (make_trainer(checkpoint, kept_views=count) for count in (2, 2, 3))
    train(one, 2)
    for trainer in (alike, other):
        trainer.frozen.share(one.frozen)
    assert alike.frozen._cached is one.frozen._cached
    assert not other.frozen._cached


def test_many_kept_views_teach_what_new_ones_teach(small_checkpoint):
    """Gradients over kept views agree with gradients over new views and masks, in the mean."""
    checkpoint = small_checkpoint("vit", "squash")
    means = []
    for count in (None, 64):
        trainer = make_trainer(checkpoint, kept_views=count, strength=0)
        total = 0
        for number in range(150):
            trainer.feed_data(batch())
            shown = trainer._show(number)
            found = trainer.regularized_gradients(shown, trainer.gt_mos[:, 0]).gradients
            total = total + torch.cat([g.flatten() for g in found if g is not None])
        means.append(total / 150)
    assert torch.nn.functional.cosine_similarity(*means, dim=0) > 0.98


def test_scene_texts_pass_the_frozen_blocks_once(small_checkpoint):
    trainer = make_trainer(small_checkpoint("vit", "squash"))
    network = trainer.net
    block, calls = network.clip.transformer.resblocks[0], []
    handle = block.ln_1.register_forward_hook(lambda *_: calls.append(1))
    expected = network.text_features(network.config.scene_texts)
    calls.clear()
    for _ in range(3):
        torch.testing.assert_close(network.scene_text_features(), expected)
    assert len(calls) <= 1  # the teacher may have passed them already
    handle.remove()
    features = network.scene_text_features()
    assert features.requires_grad  # the last blocks learn
    # A change of a frozen block is noticed.
    with torch.no_grad():
        block.mlp[0].weight.mul_(1.5)
    assert not torch.allclose(network.scene_text_features(), expected)
    torch.testing.assert_close(
        network.scene_text_features(), network.text_features(network.config.scene_texts)
    )


@pytest.mark.parametrize(("name", "block"), [("coop", 2), ("lora", 0), ("finetune", 0)])
def test_what_a_baseline_learns_is_not_kept(small_checkpoint, name, block):
    trainer = TRAINERS[name](options(small_checkpoint("vit", "squash"), kept_views=2, strength=0))
    assert len(trainer.net.clip.visual.transformer.resblocks) == 3
    assert first_changed_block(trainer.net, trainer.learned) == block
    start = trainer.start_values
    assert not same(train(trainer), start)


def test_the_released_protocol_keeps_no_views():
    own = read_config(AdaptConfig, None, backbone="grmp-tiny").training
    released = read_config(AdaptConfig, None, backbone="grmp-tiny", protocol="released").training
    assert (own.kept_views, released.kept_views) == (8, None)


# Reduced precision


def all_gradients(trainer):
    trainer.feed_data(batch())
    shown = trainer._show(0)
    found = trainer.regularized_gradients(shown, trainer.gt_mos[:, 0]).gradients
    assert all(g is None or g.dtype == torch.float32 for g in found)
    return torch.cat([g.flatten() for g in found if g is not None])


@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.99), ("fp16", 0.9999)])
def test_reduced_precision_points_the_same_way(small_checkpoint, precision, least):
    checkpoint = small_checkpoint("vit", "squash")
    exact, reduced = (
        all_gradients(make_trainer(checkpoint, precision=name, strength=0)) for name in ("fp32", precision)
    )
    assert not torch.equal(exact, reduced)
    assert torch.nn.functional.cosine_similarity(exact, reduced, dim=0) > least
    assert float(reduced.norm()) == pytest.approx(float(exact.norm()), rel=0.05)


def in_half(scale):
    """A loss whose gradient passes through float16, and its only parameter."""
    weight = torch.ones(3, requires_grad=True)
    return (weight.half() * torch.tensor(scale).half()).float().sum() * 1e-3, weight


def test_losses_are_scaled_in_float16():
    loss, weight = in_half(1e-5)
    plain = torch.autograd.grad(loss, [weight], retain_graph=True)[0]
    assert plain.abs().max() == 0  # 1e-8 is below what float16 holds
    (scaled,) = Autocast("cpu", "fp16").gradients(loss, [weight])
    assert scaled.tolist() == pytest.approx([1e-8] * 3, rel=0.01)


def test_the_scale_is_lowered_until_gradients_are_finite():
    autocast = Autocast("cpu", "fp16")
    loss, weight = in_half(6e4)
    (found,) = autocast.gradients(loss, [weight])
    assert found.tolist() == pytest.approx([60.0] * 3, rel=0.01)
    assert 1 < autocast.scale < 2**16
    (unreached,) = autocast.gradients(in_half(1.0)[0], [torch.ones(1, requires_grad=True)])
    assert unreached is None
    loss, weight = in_half(math.inf)
    assert not autocast.gradients(loss, [weight])[0].isfinite().any()
    assert autocast.scale == 1


def test_the_scale_is_a_part_of_the_state(small_checkpoint):
    checkpoint = small_checkpoint("vit", "squash")
    one, other = (make_trainer(checkpoint, precision="fp16") for _ in range(2))
    one.autocast.scale /= 16
    other.load_training_state(one.training_state())
    assert other.autocast.scale == 2**12
    for wrong in (3.0, 0.0, math.inf, "a"):
        with pytest.raises(ValueError, match="loss scale"):
            other.load_training_state({**one.training_state(), "loss_scale": wrong})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_on_cuda(small_checkpoint, precision):
    checkpoint = small_checkpoint("vit", "squash")
    ends = []
    for name in ("fp32", precision):
        trainer = GRMPAdaptModel({**options(checkpoint, precision=name, kept_views=2), "num_gpu": 1})
        end = train(trainer, 10)
        ends.append(torch.cat([(end[n] - trainer.start_values[n]).flatten().cpu() for n in end]))
    assert torch.nn.functional.cosine_similarity(*ends, dim=0) > 0.99


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kept_views": 0}, "kept_views"),
        ({"kept_views": -1}, "kept_views"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_settings_that_cannot_work(settings, named):
    with pytest.raises(ConfigError) as caught:
        StepSettings(**settings)
    assert caught.value.argument == named
