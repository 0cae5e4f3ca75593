"""Both trainers and their data sets, on a small random network."""

import dataclasses
import functools
import io
import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from grmp_plugin.config import BackboneConfig, NetworkConfig, PreprocessConfig
from grmp_plugin.data.images import pixels_digest, read_image
from grmp_plugin.errors import ConfigError, ImageError, InputError, TrainingError
from grmp_plugin.network.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from grmp_plugin.network.clip import build_clip
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.initial import initial_prompts, untrained_backbone
from grmp_plugin.network.learned import adaptation_names, learn_only
from grmp_plugin.network.preprocess import make_training_views, make_views, normalize
from grmp_plugin.network.tensors import read_tensors
from grmp_plugin.network.texts import tokenize
from grmp_plugin.synthetic.tasks import TaskImages, pristine_tasks
from grmp_plugin.training import frozen, pretrain_model, rated_views
from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.device import training_device
from grmp_plugin.training.loop import run
from grmp_plugin.training.pretrain_model import GRMPPretrainModel
from grmp_plugin.training.prompts_run import trainer_options
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.released import BestOnTest
from grmp_plugin.training.settings import AdaptSettings, PretrainSettings
from grmp_plugin.training.task_views import TaskViews
from grmp_plugin.training.views import draw_crops, pick_views

SQUASH = PreprocessConfig(size=32, resize=36)
CROPS = PreprocessConfig(kind="crops", size=32, short_side=64)


def make_trainer(cls, network, *, seed=0, scheduler=None, optim=None, **train):
    """A trainer of `cls` for a checkpoint, or what `starting_checkpoint` takes."""
    usual = {"type": "SGD", "lr": 0.05} if cls is GRMPAdaptModel else {"type": "Adam", "lr": 1e-2}
    train = {"optim": optim or usual, **train}
    if scheduler:
        train["scheduler"] = scheduler
    return cls(
        {
            "num_gpu": 0,
            "is_train": True,
            "dist": False,
            "manual_seed": seed,
            "network": {"type": "GRMPIQA", "model": network},
            "train": train,
        }
    )


def shots(count=4, views=1, side=36, seed=0, first=0):
    """A batch of noise, as `RatedViews.batch` makes it."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "img": torch.randint(256, (count, views, 3, side, side), generator=generator, dtype=torch.uint8),
        "mos_label": torch.rand(count, 1, generator=generator),
        "index": torch.arange(first, first + count),
    }


def values(trainer):
    return {name: p.detach().clone() for name, p in trainer.learned.items()}


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def distance(first, second):
    """Largest difference of two lists of tensors."""
    return max(float((a - b).detach().abs().max()) for a, b in zip(first, second, strict=True))


def step(trainer, number, batch):
    trainer.feed_data(batch)
    trainer.optimize_parameters(number)


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# Few-shot adaptation: which parameters learn


@pytest.mark.parametrize(
    ("image_blocks", "text_blocks", "image_learned", "text_learned"),
    [
        (3, 2, [2], [1]),
        (4, 1, [3], [0]),
        (12, 6, [8, 9, 10, 11], [4, 5]),
        (1, 12, [0], [8, 9, 10, 11]),
    ],
)
def test_the_last_third_learns(small_checkpoint, image_blocks, text_blocks, image_learned, text_learned):
    architecture = {
        "embed_dim": 16,
        "vision_cfg": {
            "layers": image_blocks,
            "width": 16,
            "head_width": 8,
            "patch_size": 8,
            "image_size": 16,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": text_blocks,
        },
    }
    config = NetworkConfig(
        backbone=BackboneConfig("small", None, architecture),
        visual_prompts=2,
        preprocess=PreprocessConfig(size=16, resize=18),
    )
    words = small_checkpoint().tensors["vocabulary"]
    tensors = {**untrained_backbone(config, words, 0), **initial_prompts(config, 0)}
    network = GRMPIQA(Checkpoint(config, tensors))
    block = [
        *("ln_1.weight", "ln_1.bias", "attn.in_proj_weight", "attn.in_proj_bias"),
        *("attn.out_proj.weight", "attn.out_proj.bias", "ln_2.weight", "ln_2.bias"),
        *("mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias"),
    ]
    expected = {
        *("text_prompt.ctx", "clip.ln_final.weight", "clip.ln_final.bias"),
        *("clip.visual.ln_post.weight", "clip.visual.ln_post.bias"),
        *(f"clip.visual.transformer.resblocks.{n}.{name}" for n in image_learned for name in block),
        *(f"clip.transformer.resblocks.{n}.{name}" for n in text_learned for name in block),
    }
    names = adaptation_names(network)
    assert set(names) == expected
    assert len(names) == len(expected)


@pytest.mark.parametrize(("kind", "side", "views"), [("squash", 36, 1), ("crops", 32, 3)])
@pytest.mark.parametrize("strength", [0, 5])
def test_what_is_frozen_stays(small_checkpoint, kind, side, views, strength):
    checkpoint = small_checkpoint("vit", kind)
    trainer = make_trainer(GRMPAdaptModel, checkpoint, strength=strength)
    start = GRMPIQA(checkpoint).state_dict()
    for number in range(1, 4):
        step(trainer, number, shots(views=views, side=side))
    changed = {name for name, t in trainer.net.state_dict().items() if not torch.equal(t, start[name])}
    assert changed == set(trainer.learned) == set(adaptation_names(trainer.net))
    assert trainer.moved() > 1e-4
    assert all(p.grad is None for p in trainer.net.parameters())  # no gradient is kept between steps


# Few-shot adaptation: the step


def test_without_regularization_a_step_is_plain_sgd(small_checkpoint):
    checkpoint, seed = small_checkpoint(), 2
    options = {"type": "SGD", "lr": 0.05, "weight_decay": 0.01}
    trainer = make_trainer(GRMPAdaptModel, checkpoint, seed=seed, strength=0, optim=options)
    assert trainer.teacher is None
    network = GRMPIQA(checkpoint)
    learned = learn_only(network, adaptation_names(network))
    network.train()
    for number in range(3):
        batch = shots(seed=number)
        step(trainer, number + 1, batch)
        assert set(trainer.log_dict) == {"l_quality"}

        torch.manual_seed(seed * 1_000_003 + number)  # for the prompts' dropout
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        pixels = pick_views(batch["img"], SQUASH, generator).float() / 255
        quality = network.quality_logits(network.image_features(normalize(pixels, SQUASH))).softmax(-1)[:, 0]
        rated = batch["mos_label"][:, 0]
        loss = -(rated * quality.log() + (1 - rated) * (1 - quality).log()).mean()
        assert trainer.log_dict["l_quality"] == pytest.approx(loss.item(), rel=1e-5)
        gradients = torch.autograd.grad(loss, list(learned.values()))
        with torch.no_grad():
            for parameter, gradient in zip(learned.values(), gradients, strict=True):
                parameter.sub_(0.05 * (gradient + 0.01 * parameter))
    for name, parameter in learned.items():
        torch.testing.assert_close(trainer.learned[name], parameter, rtol=1e-4, atol=1e-6)
    assert distance(learned.values(), trainer.start_values.values()) > 1e-3


def test_regularization_makes_a_difference_and_is_logged(small_checkpoint):
    plain, regularized = (make_trainer(GRMPAdaptModel, small_checkpoint(), strength=s) for s in (0, 5))
    for trainer in (plain, regularized):
        step(trainer, 1, shots())
    assert list(regularized.log_dict) == ["l_quality", "l_semantic", "angle", "projected"]
    assert regularized.log_dict["l_quality"] == plain.log_dict["l_quality"]
    assert 0 < regularized.log_dict["angle"] < 180
    assert 0 < regularized.log_dict["projected"] < 1
    assert regularized.regularized.unreached == 1  # the context, which the scene texts lack
    ctx = "text_prompt.ctx"
    assert torch.equal(values(regularized)[ctx], values(plain)[ctx])
    assert not same(values(regularized), values(plain))


def test_the_step_takes_the_regularized_gradients(small_checkpoint):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint(), strength=5)
    step(trainer, 1, shots())
    for (name, before), gradient in zip(
        trainer.start_values.items(), trainer.regularized.gradients, strict=True
    ):
        torch.testing.assert_close(trainer.learned[name], before - 0.05 * gradient)


def test_the_teacher_does_not_learn(small_checkpoint):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint())
    tokens = trainer.net.tokens(torch.rand(2, 3, 32, 32))
    before = trainer.teacher(tokens)
    for number in range(1, 4):
        step(trainer, number, shots())
    assert torch.equal(trainer.teacher(tokens), before)


@pytest.mark.parametrize(("kind", "side", "views"), [("squash", 36, 1), ("crops", 32, 3)])
def test_bytes_and_floats_are_the_same_images(small_checkpoint, kind, side, views):
    ends = []
    for convert in (lambda images: images, lambda images: images.float() / 255):
        trainer = make_trainer(GRMPAdaptModel, small_checkpoint("vit", kind))
        for number in range(1, 4):
            batch = shots(views=views, side=side, seed=number, first=10 * number)
            step(trainer, number, {**batch, "img": convert(batch["img"])})
        ends.append(values(trainer))
    assert same(*ends)
    assert not same(ends[0], trainer.start_values)


def test_a_single_view_needs_no_view_dimension(small_checkpoint):
    ends = []
    for convert in (lambda images: images, lambda images: images[:, 0]):
        trainer = make_trainer(GRMPAdaptModel, small_checkpoint())
        batch = shots()
        step(trainer, 1, {"img": convert(batch["img"]), "mos_label": batch["mos_label"]})
        ends.append(values(trainer))
    assert same(*ends)


def test_trying_does_not_change_weights(small_checkpoint):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint())
    trainer.try_gradients(shots())
    assert same(values(trainer), trainer.start_values)
    tried = values(trainer)
    step(trainer, 1, shots())
    other = make_trainer(GRMPAdaptModel, small_checkpoint())
    step(other, 1, shots())
    assert same(values(trainer), values(other))
    assert not same(values(trainer), tried)


# Few-shot adaptation: cached outputs for the shots


def counted(trainer):
    """List of the number of images embedded per call."""
    calls, embed = [], trainer.net.tokens

    def tokens(pixels):
        calls.append(len(pixels))
        return embed(pixels)

    trainer.net.tokens = tokens
    return calls


def mixed_batch(numbers):
    """Some of eight shots of three crops each."""
    whole = shots(8, views=3, side=32, seed=5)
    return {name: tensor[list(numbers)] for name, tensor in whole.items()}


ORDERS = [(0, 3, 5), (5, 1), (3, 0, 7, 2), (5,), (7, 5, 3, 1, 0), (2, 1)]


@pytest.mark.parametrize("strength", [0, 5])
def test_cached_and_recomputed_outputs_are_the_same(small_checkpoint, monkeypatch, strength):
    checkpoint = small_checkpoint("vit", "crops")
    room = frozen._ROOM
    ends, calls, logs = [], [], []
    # Room for all, for none, for three shots (3 crops and their mirror images, 17 tokens of width 48).
    for bytes_ in (room, 0, 3 * 6 * 17 * 48 * 4):
        monkeypatch.setattr(frozen, "_ROOM", bytes_)
        trainer = make_trainer(GRMPAdaptModel, checkpoint, strength=strength)
        calls.append(counted(trainer))
        logs.append([])
        for number, order in enumerate(ORDERS, 1):
            step(trainer, number, mixed_batch(order))
            logs[-1].append(dict(trainer.log_dict))
        ends.append(values(trainer))
    assert same(ends[0], ends[1])
    assert same(ends[0], ends[2])
    assert logs[0] == logs[1] == logs[2]
    uses = sum(map(len, ORDERS))
    assert calls[0] == [6] * 6  # once for each of the six shots drawn
    assert calls[1] == [6] * uses
    # 0, 3 and 5 came first; all others are computed each time.
    assert calls[2] == [6] * (3 + sum(number not in (0, 3, 5) for order in ORDERS for number in order))


def test_cached_outputs_are_those_of_the_picked_views(small_checkpoint):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint("vit", "crops"))
    batch, flips = mixed_batch(range(8)), set()
    for seed in range(4):
        shown, picked = (
            trainer.frozen.show(batch["img"], numbers, torch.Generator().manual_seed(seed))
            for numbers in (range(8), None)
        )
        torch.testing.assert_close(shown.tokens, picked.tokens)
        torch.testing.assert_close(shown.scenes, picked.scenes)
        flips |= set(draw_crops(8, 3, torch.Generator().manual_seed(seed))[1].tolist())
    assert flips == {True, False}


def test_cached_outputs_do_not_depend_on_the_batch(small_checkpoint):
    one, other = (make_trainer(GRMPAdaptModel, small_checkpoint("vit", "crops")) for _ in range(2))
    step(one, 1, mixed_batch((4, 6)))
    one.set_learned(one.start_values)
    for trainer in (one, other):
        step(trainer, 2, mixed_batch((6, 1, 4)))
    assert same(values(one), values(other))


def test_squashed_images_are_not_cached(small_checkpoint):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint())
    calls = counted(trainer)
    for number in range(1, 4):
        step(trainer, number, shots())
    assert calls == [4, 4, 4]


# Few-shot adaptation: choice of the view


def coordinates(count, height, width):
    """Images whose channels encode row, column and number of the image."""
    image = torch.zeros(count, 1, 3, height, width)
    image[:, :, 0] = torch.arange(height)[:, None]
    image[:, :, 1] = torch.arange(width)
    image[:, :, 2] = torch.arange(count)[:, None, None, None]
    return image


def place(view):
    """Position of a view: top, left, whether it is flipped."""
    columns = view[1, 0]
    flipped = bool(columns[0] > columns[-1])
    left = int(columns.min())
    expected = torch.arange(left, left + len(columns))
    assert torch.equal(columns.long(), expected.flip(0) if flipped else expected)
    return int(view[0, 0, 0]), left, flipped


def test_the_authors_offsets():
    config = PreprocessConfig()
    views = pick_views(coordinates(3, 244, 244), config, torch.Generator().manual_seed(14))
    assert views.shape == (3, 3, 224, 224)
    assert [place(view) for view in views] == [(15, 8, True)] * 3  # one position for the whole batch
    assert views[:, 2, 0, 0].tolist() == [0, 1, 2]


def test_flipped_in_the_left_half():
    images, config = coordinates(1, 244, 244), PreprocessConfig()
    seen = {}
    for seed in range(120):
        torch.manual_seed(seed)
        top, left, _ = torch.randint(
            0, 20, (3,)
        ).tolist()  # as in the authors' code, from the global generator
        (view,) = pick_views(images, config, torch.Generator().manual_seed(seed))
        assert place(view) == (top, left, left < 10)
        seen[left] = True
    assert {0, 9, 10, 19} <= set(seen)


def test_each_image_shows_one_of_its_crops():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(200, 3, 3, 32, 32, generator=generator)
    views = pick_views(images, CROPS, torch.Generator().manual_seed(1))
    counts = np.zeros((3, 2), int)
    for view, crops in zip(views, images, strict=True):
        found = [
            (number, flipped)
            for number, crop in enumerate(crops)
            for flipped in (0, 1)
            if torch.equal(view, crop.flip(-1) if flipped else crop)
        ]
        assert len(found) == 1
        counts[found[0]] += 1
    assert counts.min() > 15  # of 33: every crop, flipped and not


@pytest.mark.parametrize("shape", [(30, 30), (36, 40), (40, 36)])
def test_images_that_no_view_fits(shape):
    with pytest.raises(InputError, match=rf"\({shape[0]}, {shape[1]}\) .* a view of 32.*GRMPShotsDataset"):
        pick_views(torch.zeros(1, 1, 3, *shape), SQUASH, torch.Generator())


# Few-shot adaptation: resuming


def test_a_step_is_a_function_of_seed_and_number(small_checkpoint):
    def after(seed, number, *, busy=False):
        trainer = make_trainer(GRMPAdaptModel, small_checkpoint(), seed=seed)
        if busy:
            for earlier in range(1, 4):
                step(trainer, earlier, shots())
            torch.rand(17)
            trainer.set_learned(trainer.start_values)
        step(trainer, number, shots())
        return values(trainer)

    once = after(seed=1, number=7)
    assert same(once, after(seed=1, number=7, busy=True))
    assert not same(once, after(seed=1, number=8))
    assert not same(once, after(seed=2, number=7))


def test_seeds_do_not_collide_at_different_steps(small_checkpoint):
    drawn = set()
    for seed in range(3):
        trainer = make_trainer(GRMPAdaptModel, small_checkpoint(), seed=seed, strength=0)
        for number in range(300):
            generator = trainer.reseed(number)
            drawn.add((torch.rand(2).tolist()[0], torch.rand(2, generator=generator).tolist()[0]))
    assert len(drawn) == 3 * 300


def test_adaptation_resumes_bit_for_bit(small_checkpoint):
    def make():
        return make_trainer(
            GRMPAdaptModel,
            small_checkpoint("vit", "crops"),
            optim={"type": "SGD", "lr": 0.05, "momentum": 0.9},
            scheduler={"type": "CosineAnnealingLR", "T_max": 6},
        )

    def train(trainer, steps):
        for number in steps:
            step(trainer, number, mixed_batch(ORDERS[number - 1]))
            trainer.update_learning_rate(number + 1)

    whole, first, second = make(), make(), make()
    train(whole, range(1, 7))
    train(first, range(1, 4))
    second.load_training_state(through_a_file(first.training_state()))
    assert second.get_current_learning_rate() == first.get_current_learning_rate() == pytest.approx([0.025])
    train(second, range(4, 7))
    assert same(values(second), values(whole))
    assert second.get_current_learning_rate() == whole.get_current_learning_rate() == pytest.approx([0])
    # Momentum and schedule matter here: without the state, the result differs.
    third = make()
    third.set_learned(values(first))
    train(third, range(4, 7))
    assert not same(values(third), values(whole))


WRONG_STATES = {
    "no position": lambda state: state.pop("epoch"),
    "text for a number": lambda state: state.update(step="three"),
    "negative": lambda state: state.update(done=-1),
    "no trainer": lambda state: state.update(trainer=None),
    "a name missing": lambda state: state["trainer"]["learned"].popitem(),
    "wrong shape": lambda state: state["trainer"]["learned"].update({"text_prompt.ctx": torch.zeros(1)}),
    "not finite": lambda state: state["trainer"]["learned"]["text_prompt.ctx"].fill_(math.nan),
    "no tensor": lambda state: state["trainer"]["learned"].update({"text_prompt.ctx": "x"}),
    "two optimizers": lambda state: state["trainer"]["optimizers"].append({}),
    "momentum of another shape": lambda state: state["trainer"]["optimizers"][0]["state"][0].update(
        momentum_buffer=torch.zeros(3)
    ),
}


@pytest.mark.parametrize("change", WRONG_STATES)
def test_a_state_of_another_form_is_refused(small_checkpoint, change):
    """Such as shapes of another network, in a file that is not damaged."""

    def make():
        return make_trainer(
            GRMPAdaptModel, small_checkpoint(), optim={"type": "SGD", "lr": 0.05, "momentum": 0.9}
        )

    first = make()
    step(first, 1, shots())
    state = {"epoch": 1, "done": 0, "step": 1, "after_epoch": {}, "trainer": first.training_state()}
    run(make(), lambda epoch: [], 2, 2, state=through_a_file(state))
    WRONG_STATES[change](state)
    with pytest.raises(TrainingError, match="the saved state does not fit this training") as caught:
        run(make(), lambda epoch: [], 2, 2, state=through_a_file(state))
    assert caught.value.argument == "resume"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_steps_with_non_finite_gradients_are_skipped(small_checkpoint, value):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint(), optim={"type": "SGD", "lr": 0.05})
    good, bad = shots(), shots()
    bad["mos_label"][1] = value
    step(trainer, 1, good)
    before = values(trainer)
    for number in range(9):
        step(trainer, 2 + number, bad)
        assert trainer.log_dict["skipped"] == number + 1
    assert same(values(trainer), before)
    step(trainer, 11, good)  # resets the count
    assert "skipped" not in trainer.log_dict
    before = values(trainer)
    for number in range(9):
        step(trainer, 12 + number, bad)
    with pytest.raises(TrainingError, match=r"10 steps in a row .* learning rate smaller than 0\.05"):
        step(trainer, 21, bad)
    assert same(values(trainer), before)


def test_a_step_waits_for_the_device_three_times(small_checkpoint, transfers, monkeypatch):
    """For both losses, for the products of all gradients, and to know whether a change overflowed."""
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint())
    # Texts are encoded on the CPU.
    monkeypatch.setattr("grmp_plugin.network.grmp_iqa.tokenize", functools.cache(tokenize))
    trainer.feed_data(shots())
    shown = trainer._show(0)
    trainer.regularized_gradients(shown, trainer.gt_mos[:, 0])
    transfers.clear()
    trainer.regularized_gradients(shown, trainer.gt_mos[:, 0])
    assert len(transfers) == 3, transfers
    assert trainer.log_dict["l_semantic"] > 0


# Checkpoints of a trainer


def scores(network):
    images = torch.rand(3, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network.eval()(images)


def test_checkpoint_without_a_downloadable_backbone_is_complete(small_checkpoint, tmp_path):
    start = dataclasses.replace(small_checkpoint(), info={"licence": "MIT", "origin": "here", "seed": 3})
    trainer = make_trainer(GRMPAdaptModel, start)
    step(trainer, 1, shots())
    trainer.info = {"stage": "adapted"}
    checkpoint = trainer.checkpoint()
    assert checkpoint.tensors.keys() == start.tensors.keys() == trainer.net.state_dict().keys()
    # The licence is kept; facts about the training of the start are not.
    assert checkpoint.info == {"licence": "MIT", "origin": "here", "stage": "adapted"}
    write_checkpoint(checkpoint, tmp_path / "mine.safetensors")
    read = read_checkpoint(tmp_path / "mine.safetensors")
    assert torch.equal(scores(GRMPIQA(read)), scores(trainer.net))
    assert not torch.equal(scores(GRMPIQA(start)), scores(trainer.net))


def test_checkpoint_is_not_changed_by_further_steps(small_checkpoint):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint())
    kept = trainer.checkpoint()
    step(trainer, 1, shots())
    assert all(torch.equal(kept.tensors[name], value) for name, value in trainer.start_values.items())


@pytest.fixture(scope="module")
def backbone_elsewhere(small_checkpoint, tmp_path_factory):
    """A start with prompts only, which names a file for the rest."""
    config = small_checkpoint().config
    file = tmp_path_factory.mktemp("backbone") / "clip.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build_clip(dataclasses.replace(config.backbone, weights=None), device="cpu").state_dict()
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    config = dataclasses.replace(config, backbone=dataclasses.replace(config.backbone, weights=str(file)))
    return Checkpoint(config, initial_prompts(config, 0), {"licence": "none"})


@pytest.mark.parametrize("cls", [GRMPAdaptModel, GRMPPretrainModel])
def test_checkpoint_with_a_downloadable_backbone_stores_the_difference(backbone_elsewhere, tmp_path, cls):
    start = backbone_elsewhere
    trainer = make_trainer(cls, start, **({"tasks_per_step": 1} if cls is GRMPPretrainModel else {}))
    step(trainer, 1, shots() if cls is GRMPAdaptModel else make_task())
    kept = trainer.checkpoint()
    assert kept.tensors.keys() == start.tensors.keys() | trainer.learned.keys()
    assert len(kept.tensors) < len(trainer.net.state_dict()) / 2
    write_checkpoint(kept, tmp_path / "mine.safetensors")
    assert read_tensors(tmp_path / "mine.safetensors").keys() == kept.tensors.keys()
    read = GRMPIQA(read_checkpoint(tmp_path / "mine.safetensors"))
    assert same(read.state_dict(), trainer.net.state_dict())
    # Again from there: the second stage keeps what the first one learned.
    again = make_trainer(GRMPAdaptModel, read_checkpoint(tmp_path / "mine.safetensors"))
    step(again, 1, shots())
    assert again.checkpoint().tensors.keys() >= kept.tensors.keys()
    assert same(GRMPIQA(again.checkpoint()).state_dict(), again.net.state_dict())


def test_save_writes_what_pyiqa_calls_latest(small_checkpoint, tmp_path):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint())
    trainer.opt["path"] = {"models": str(tmp_path)}
    trainer.save(epoch=3, current_iter=40)
    step(trainer, 1, shots())
    trainer.save(epoch=-1, current_iter=-1)
    trainer.save_network(trainer.net, "net_best")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["net_40.safetensors", "net_best.safetensors", "net_latest.safetensors"]
    latest, early = (read_checkpoint(tmp_path / name).tensors for name in (names[2], names[0]))
    learned = set(trainer.learned)
    assert {name for name in latest if not torch.equal(latest[name], early[name])} == learned


# Wrong options


def test_another_network_is_refused(small_checkpoint):
    options = {"num_gpu": 0, "is_train": False, "dist": False, "network": {"type": "MUSIQ"}, "train": {}}
    with pytest.raises(ConfigError, match="GRMPIQA, not MUSIQ"):
        GRMPAdaptModel(options)


@pytest.mark.parametrize("cls", [GRMPAdaptModel, GRMPPretrainModel])
@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_numbers_that_are_text_are_refused(small_checkpoint, cls, name):
    optim = {"type": "SGD", "lr": 0.1, "weight_decay": 0.0, name: "1e-4"}
    with pytest.raises(ConfigError, match=rf"optim: {name}: .* text '1e-4' .*write 1\.0e-4"):
        make_trainer(cls, small_checkpoint(), optim=optim)


def test_unknown_protocol_is_refused(small_checkpoint):
    with pytest.raises(ConfigError, match="paper or released, not 'own'"):
        make_trainer(GRMPPretrainModel, small_checkpoint(), protocol="own")


# Pre-training


def make_task(seed=0, source=0, support=5, query=3):
    """A task of noise, as pyiqa's data loader batches it."""
    generator = torch.Generator().manual_seed(1000 + seed)

    def images(count):
        return torch.randint(256, (1, count, 3, 32, 32), generator=generator, dtype=torch.uint8)

    return {
        "support": images(support),
        "support_quality": torch.rand(1, support, generator=generator),
        "query": images(query),
        "query_quality": torch.rand(1, query, generator=generator),
        "source": torch.tensor([source]),
        "name": ["noise"],
    }


def make_pretrainer(checkpoint, **options):
    """Without dropout, which depends on the step: a task then has the same effect at any position."""
    options = {"support_batch": 2, "query_batch": 2, "optim": {"type": "SGD", "lr": 0.5}, **options}
    trainer = make_trainer(GRMPPretrainModel, checkpoint, **options)
    trainer.net.visual_prompts.dropout.p = 0.0
    return trainer


PROMPTS = (
    *("text_prompt.ctx", "visual_prompts.prompt_embeddings", "visual_prompts.deep_prompt_embeddings"),
    *("visual_prompts.prompt_proj.weight", "visual_prompts.prompt_proj.bias"),
    *("visual_prompts.prompt_norm.weight", "visual_prompts.prompt_norm.bias"),
)


def test_only_the_prompts_learn(small_checkpoint):
    trainer = make_trainer(GRMPPretrainModel, small_checkpoint(), tasks_per_step=1)
    start = GRMPIQA(small_checkpoint()).state_dict()
    step(trainer, 1, make_task())
    changed = {name for name, t in trainer.net.state_dict().items() if not torch.equal(t, start[name])}
    assert changed == set(trainer.learned) == set(PROMPTS)


def test_support_and_query_come_in_batches(small_checkpoint):
    trainer = make_pretrainer(small_checkpoint(), support_batch=2, query_batch=2)
    data = make_task(support=5, query=3)
    trainer.feed_data(data)
    assert [len(b.quality) for b in trainer.task.support] == [2, 2, 1]
    assert [len(b.quality) for b in trainer.task.query] == [2, 1]
    pixels = torch.cat([b.pixels for b in trainer.task.support])
    torch.testing.assert_close(pixels, normalize(data["support"][0].float() / 255, SQUASH))
    assert torch.equal(torch.cat([b.quality for b in trainer.task.query]), data["query_quality"][0])


def test_losses_are_means_over_the_inner_steps(small_checkpoint):
    trainer = make_pretrainer(small_checkpoint(), tasks_per_step=1)
    seen, loss = [], trainer._loss

    def spied(batch):
        seen.append(loss(batch))
        return seen[-1]

    trainer._loss = spied
    step(trainer, 1, make_task())
    assert len(seen) == 6
    assert trainer.log_dict["l_support"] == pytest.approx(np.mean([v.item() for v in seen[0::2]]))
    assert trainer.log_dict["l_query"] == pytest.approx(np.mean([v.item() for v in seen[1::2]]))


def ends(checkpoint, tasks, **options):
    """The trainer after one group of tasks."""
    trainer = make_pretrainer(checkpoint, tasks_per_step=len(tasks), outer_learning_rate=0.5, **options)
    for number, seed in enumerate(tasks, 1):
        step(trainer, number, make_task(seed))
    assert trainer.tasks_done == 0
    return trainer


@pytest.mark.parametrize(("protocol", "matters"), [("paper", False), ("released", True)])
def test_order_of_the_tasks(small_checkpoint, protocol, matters):
    first, second = (ends(small_checkpoint(), order, protocol=protocol) for order in ((1, 2, 3), (3, 1, 2)))
    start = first.start_values.values()
    moved = distance(first.theta, start)
    assert moved > 1e-3
    difference = distance(first.theta, second.theta)
    assert (difference > 1e-2 * moved) if matters else (difference < 1e-5)


def test_outer_step_of_the_paper(small_checkpoint):
    """theta - beta * mean(theta - theta_i), the theta_i from plain gradient descent on each task alone."""
    checkpoint = small_checkpoint()
    trainer = ends(checkpoint, (1, 2))
    adapted = []
    for seed in (1, 2):
        network = GRMPIQA(checkpoint)
        learned = learn_only(network, PROMPTS)
        data = make_task(seed)
        parts = {name: data[name][0].split(2) for name in data if name not in ("source", "name")}
        for number in range(3):
            for side, index in (("support", number), ("query", number % 2)):
                pixels = normalize(parts[side][index].float() / 255, SQUASH)
                rated = parts[f"{side}_quality"][index]
                quality = network.quality_logits(network.image_features(pixels)).softmax(-1)[:, 0]
                loss = -(rated * quality.log() + (1 - rated) * (1 - quality).log()).mean()
                gradients = torch.autograd.grad(loss, list(learned.values()))
                with torch.no_grad():
                    for parameter, gradient in zip(learned.values(), gradients, strict=True):
                        parameter.sub_(0.5 * gradient)
        adapted.append(learned)
    for name, found in zip(trainer.learned, trainer.theta, strict=True):
        theta = checkpoint.tensors[name]
        expected = theta - 0.5 * ((theta - adapted[0][name]) + (theta - adapted[1][name])) / 2
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(trainer.learned[name], expected, rtol=1e-4, atol=1e-5)  # the network too


@pytest.fixture
def starts_and_ends(monkeypatch):
    """Values before and after the inner steps of each task."""
    seen, inner_steps = [], pretrain_model.inner_steps

    def spied(task, loss, optimizer):
        parameters = optimizer.param_groups[0]["params"]
        before = [p.detach().clone() for p in parameters]
        losses = inner_steps(task, loss, optimizer)
        seen.append((before, [p.detach().clone() for p in parameters], optimizer))
        return losses

    monkeypatch.setattr(pretrain_model, "inner_steps", spied)
    return seen


def test_paper_starts_each_task_from_the_meta_prompts(small_checkpoint, starts_and_ends):
    trainer = make_pretrainer(small_checkpoint(), tasks_per_step=2)
    start = trainer.theta
    thetas = []
    for number in range(1, 5):
        step(trainer, number, make_task(number))
        thetas.append(trainer.theta)
    befores = [before for before, _, _ in starts_and_ends]
    assert distance(befores[0], start) == distance(befores[1], start) == distance(thetas[0], start) == 0
    assert distance(thetas[1], start) > 1e-3
    assert distance(befores[2], thetas[1]) == distance(befores[3], thetas[1]) == 0
    assert len({id(optimizer) for _, _, optimizer in starts_and_ends}) == 4  # each with a new optimizer


def test_released_chains_tasks_and_outer_steps(small_checkpoint, starts_and_ends):
    trainer = make_pretrainer(
        small_checkpoint(), tasks_per_step=2, protocol="released", outer_learning_rate=0.01
    )
    for number in range(1, 5):
        step(trainer, number, make_task(number))
        assert distance(starts_and_ends[-1][1], values(trainer).values()) == 0  # as at the end of the task
    for (_, end, _), (begin, _, _) in itertools.pairwise(starts_and_ends):
        assert distance(end, begin) == 0
    # theta moves by 1% of the way to the mean of where the tasks ended.
    theta = list(trainer.start_values.values())
    for first in (0, 2):
        pair = [starts_and_ends[number][1] for number in (first, first + 1)]
        theta = [t - 0.01 * (t - (a + b) / 2) for t, a, b in zip(theta, *pair, strict=True)]
    assert distance(trainer.theta, theta) < 1e-6
    assert distance(trainer.theta, trainer.start_values.values()) > 1e-4


def test_released_keeps_its_optimizer_for_the_first_source(small_checkpoint, starts_and_ends):
    trainer = make_pretrainer(small_checkpoint(), tasks_per_step=2, protocol="released")
    for number, source in enumerate((0, 0, 0, 1, 1), 1):
        step(trainer, number, make_task(number, source))
    optimizers = [optimizer for _, _, optimizer in starts_and_ends]
    assert optimizers[0] is optimizers[1] is optimizers[2]
    assert len({id(optimizer) for optimizer in optimizers}) == 3


def test_moved(small_checkpoint):
    trainer = make_pretrainer(small_checkpoint(), tasks_per_step=2)
    assert trainer.moved() == 0
    step(trainer, 1, make_task(1))
    adapted = values(trainer)
    assert trainer.moved() == 0  # the meta-prompts have not moved, whatever the last task did
    assert "moved" not in trainer.log_dict
    assert same(values(trainer), adapted)
    assert not same(adapted, trainer.start_values)
    step(trainer, 2, make_task(2))
    start = torch.cat([value.flatten() for value in trainer.start_values.values()]).double()
    theta = torch.cat([value.flatten() for value in trainer.theta]).double()
    expected = ((theta - start).norm() / start.norm()).item()
    assert expected > 1e-3
    assert trainer.moved() == pytest.approx(expected, rel=1e-5)
    assert trainer.log_dict["moved"] == trainer.moved()


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_in_the_middle_of_an_outer_step(small_checkpoint, protocol):
    """The meta-prompts are saved and validated, not the prompts of the last task."""
    trainer = make_pretrainer(small_checkpoint(), tasks_per_step=2, protocol=protocol)
    for number in range(1, 4):
        step(trainer, number, make_task(number))
    inner = values(trainer)
    theta = dict(zip(trainer.learned, trainer.theta, strict=True))
    assert distance(theta.values(), trainer.start_values.values()) > 1e-3
    assert distance(theta.values(), inner.values()) > 1e-3
    checkpoint = trainer.checkpoint()
    assert same({name: checkpoint.tensors[name] for name in theta}, theta)
    views = torch.randint(256, (3, 2, 3, 32, 32), dtype=torch.uint8)
    trainer.feed_data({"img": views, "mos_label": torch.rand(3, 1)})
    trainer.test()
    with torch.no_grad():
        expected = GRMPIQA(checkpoint).score_views(views.float() / 255)
    torch.testing.assert_close(trainer.output_score, expected)
    assert same(values(trainer), inner)  # training continues from there
    assert trainer.net.training


@pytest.mark.parametrize("protocol", ["paper", "released"])
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_pretraining_resumes_bit_for_bit(small_checkpoint, protocol, cut):
    def make():
        options = {"tasks_per_step": 3, "protocol": protocol, "support_batch": 2, "query_batch": 2}
        return make_trainer(GRMPPretrainModel, small_checkpoint(), **options)  # Adam, and with dropout

    def train(trainer, steps):
        for number in steps:
            step(trainer, number, make_task(number, source=int(number > 4)))

    whole, first, second = make(), make(), make()
    train(whole, range(1, 7))
    train(first, range(1, cut + 1))
    second.load_training_state(through_a_file(first.training_state()))
    train(second, range(cut + 1, 7))
    assert distance(second.theta, whole.theta) == 0
    assert same(values(second), values(whole))
    assert whole.tasks_done == second.tasks_done == 0
    assert distance(whole.theta, whole.start_values.values()) > 1e-3


def test_new_prompts_are_drawn_from_the_seed(small_checkpoint, tmp_path):
    file = tmp_path / "start.safetensors"
    write_checkpoint(small_checkpoint(), file)
    one, again, other = (make_trainer(GRMPPretrainModel, str(file), seed=seed) for seed in (1, 1, 2))
    assert same(values(one), values(again))
    for name in ("text_prompt.ctx", "visual_prompts.prompt_embeddings", "visual_prompts.prompt_proj.weight"):
        assert not torch.equal(values(one)[name], values(other)[name])
        assert not torch.equal(values(one)[name], small_checkpoint().tensors[name])
    frozen_name = "clip.visual.conv1.weight"
    assert torch.equal(one.net.state_dict()[frozen_name], small_checkpoint().tensors[frozen_name])


def test_two_tasks_in_a_batch_are_refused(small_checkpoint):
    data = {name: torch.cat([value, value]) for name, value in make_task().items() if torch.is_tensor(value)}
    with pytest.raises(ConfigError, match=r"batch_size_per_gpu must be 1 \(task\), not 2"):
        make_pretrainer(small_checkpoint()).feed_data(data)


@pytest.mark.parametrize("workers", [0, 2])
def test_prompts_record_the_pictures_that_they_were_learned_from(small_checkpoint, tmp_path, workers):
    """As pyiqa's loader passes them on, from other processes too; beside those of the start."""
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (100, 110, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    source = pristine_tasks(tmp_path, pictures_per_task=2, kinds=["jpeg", "darken"])
    views = TaskViews([source], SQUASH, PretrainSettings(images_per_task=6), seed=0)
    first, second = DataLoader(views, batch_size=1, num_workers=workers)
    used = list(first["learned"]["photographs"])
    assert len(used) == 2
    trainer = make_pretrainer(small_checkpoint(), tasks_per_step=1)
    trainer.feed_data(first)
    assert "learned_from" not in trainer.checkpoint().info
    trainer.optimize_parameters(1)
    trainer.feed_data(second)  # and nothing is learned from it
    record = trainer.checkpoint().info["learned_from"]
    assert record == {"photographs": {Path(p).name: pixels_digest(read_image(p)) for p in used}}

    before = {"ratings": {"old.png": "0" * 64}}
    start = dataclasses.replace(small_checkpoint(), info={"learned_from": before})
    resumed = make_pretrainer(start, tasks_per_step=1)
    state = through_a_file(trainer.training_state())
    resumed.load_training_state(state)
    assert resumed.checkpoint().info["learned_from"] == {**before, **record}
    state["read"]["photographs"]["x.png"] = 1
    with pytest.raises(ValueError, match="digest"):
        resumed.load_training_state(state)


# Distortion tasks as views


class Flat:
    """Images of one colour each, all different, and of different sizes."""

    def __init__(self, name, distortions, count=10, mos=None):
        self.name = name
        self.distortions = tuple(f"{name}{number}" for number in range(distortions))
        self.mos = np.linspace(2.0, 8.0, count) ** 2 if mos is None else np.array(mos, float)
        self.seeds = []

    def draw(self, distortion, seed):
        assert distortion in self.distortions
        self.seeds.append(seed)
        count = len(self.mos)
        images = tuple(np.full((40 + n, 50 - n, 3), 10 * n, np.uint8) for n in range(count))
        return TaskImages(distortion, images, self.mos, ("reference",) * count)


def task_views(*sources, preprocess=SQUASH, seed=0, **settings):
    return TaskViews(sources, preprocess, PretrainSettings(**settings), seed)


def numbers_of(views):
    """The image that each single-coloured view shows."""
    assert torch.equal(views, views[:, :1, :1, :1].expand_as(views))
    return (views[:, 0, 0, 0] // 10).tolist()


@pytest.mark.parametrize("preprocess", [SQUASH, CROPS])
@pytest.mark.parametrize(("count", "support"), [(10, 8), (20, 16), (5, 4), (3, 2), (2, 1)])
def test_task_is_split_80_to_20(preprocess, count, support):
    tasks = task_views(Flat("a", 2, count), preprocess=preprocess)
    item = tasks.draw(1, 0)
    assert item["support"].shape == (support, 3, 32, 32)
    assert item["query"].shape == (count - support, 3, 32, 32)
    assert item["support"].dtype == item["query"].dtype == torch.uint8
    found = numbers_of(item["support"]), numbers_of(item["query"])
    assert sorted(found[0] + found[1]) == list(range(count))
    assert (item["source"], item["name"]) == (0, "a: a1")


def test_labels_are_normalised_within_each_side():
    source = Flat("a", 1)
    item = task_views(source).draw(0, 3)
    for side in ("support", "query"):
        mos = source.mos[numbers_of(item[side])]
        expected = (mos - mos.min()) / (mos.max() - mos.min())
        labels = item[f"{side}_quality"]
        assert labels.dtype == torch.float32
        np.testing.assert_allclose(labels, expected, rtol=1e-6)
        assert (labels.min(), labels.max()) == (0, 1)


def test_equal_labels_become_the_middle():
    item = task_views(Flat("a", 1, mos=[3, 3, 3, 3, 3])).draw(0, 0)
    assert item["support_quality"].tolist() == [0.5] * 4
    assert item["query_quality"].tolist() == [0.5]


def test_images_per_task():
    tasks = task_views(Flat("a", 1, 10), images_per_task=5)
    seen = set()
    for visit in range(30):
        item = tasks.draw(0, visit)
        assert (len(item["support"]), len(item["query"])) == (4, 1)
        seen |= {*numbers_of(item["support"]), *numbers_of(item["query"])}
    assert seen == set(range(10))  # another draw each time
    assert len(task_views(Flat("a", 1, 4), images_per_task=5).draw(0, 0)["support"]) == 3


def test_support_share():
    item = task_views(Flat("a", 1, 10), support_share=0.5).draw(0, 0)
    assert (len(item["support"]), len(item["query"])) == (5, 5)


def test_every_epoch_visits_all_tasks():
    tasks = task_views(Flat("a", 3), Flat("b", 4), tasks_per_step=2)
    assert len(tasks) == 7
    assert tasks.tasks == [(0, "a0"), (0, "a1"), (0, "a2"), (1, "b0"), (1, "b1"), (1, "b2"), (1, "b3")]
    orders = [tasks.order(epoch) for epoch in range(8)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len(set(map(tuple, orders))) == 8
    assert any(order != sorted(order, key=lambda index: tasks.tasks[index][0]) for order in orders)


def test_released_visits_all_kinds_of_its_only_source():
    tasks = task_views(Flat("a", 30), protocol="released")
    assert sorted(tasks.order(0)) == list(range(30))


def test_released_order_is_source_after_source():
    tasks = task_views(Flat("a", 3), Flat("b", 4), protocol="released", tasks_per_step=3)
    # As many of every source as the smallest has: b3 is never seen.
    assert tasks.tasks == [(0, "a0"), (0, "a1"), (0, "a2"), (1, "b0"), (1, "b1"), (1, "b2")]
    orders = [tasks.order(epoch) for epoch in range(8)]
    for order in orders:
        assert sorted(order[:3]) == [0, 1, 2]
        assert sorted(order[3:]) == [3, 4, 5]
    assert len({tuple(order[:3]) for order in orders}) > 1
    assert len({tuple(order[3:]) for order in orders}) > 1


@pytest.mark.parametrize("preprocess", [SQUASH, CROPS])
def test_tasks_are_functions_of_seed_index_and_visit(preprocess):
    def drawn(index=1, visit=5, seed=0, earlier=()):
        noise = np.random.default_rng(0).integers(0, 256, (10, 45, 60, 3), dtype=np.uint8)
        source = Flat("a", 2)
        source.draw = lambda distortion, seed: TaskImages(distortion, tuple(noise), source.mos, ("r",) * 10)
        tasks = task_views(source, preprocess=preprocess, seed=seed)
        for before in earlier:
            tasks.draw(*before)
        return tasks.draw(index, visit)

    def equal(first, second):
        return all(
            torch.equal(first[name], second[name])
            for name in ("support", "support_quality", "query", "query_quality")
        )

    once = drawn()
    assert equal(once, drawn(earlier=[(0, 0), (1, 4)]))
    assert not equal(once, drawn(visit=6))
    assert not equal(once, drawn(seed=1))
    assert not equal(once, drawn(index=0))


def test_seeds_of_sources_are_derived_from_ours():
    first, again, other = Flat("a", 1), Flat("a", 1), Flat("a", 1)
    for source, seed in ((first, 0), (again, 0), (other, 1)):
        tasks = task_views(source, seed=seed)
        for visit in range(3):
            tasks.draw(0, visit)
    assert first.seeds == again.seeds
    assert len({*first.seeds, *other.seeds}) == 6


def test_loader_draws_by_torchs_generator():
    tasks = task_views(Flat("a", 1))

    def item(seed):
        torch.manual_seed(seed)
        return numbers_of(tasks[0]["support"])

    assert item(1) == item(1)
    assert len({tuple(item(seed)) for seed in range(10)}) > 5


def ramp(height=60, width=90):
    """Brighter from left to right, so that a mirror image is recognizable."""
    row = np.linspace(0, 250, width).round().astype(np.uint8)
    return np.broadcast_to(row[:, None], (height, width, 3)).copy()


def ramps(preprocess, **settings):
    source = Flat("a", 1)
    source.draw = lambda distortion, seed: TaskImages(distortion, (ramp(),) * 10, source.mos, ("r",) * 10)
    return task_views(source, preprocess=preprocess, **settings)


def test_squashed_query_images_are_whole():
    expected = cv2.resize(ramp(), (32, 32), interpolation=cv2.INTER_CUBIC)
    for view in ramps(SQUASH).draw(0, 0)["query"]:
        found = view.permute(1, 2, 0).numpy().astype(int)
        assert np.abs(found - expected).max() <= 1


def test_squashed_support_images_are_cropped():
    whole = cv2.resize(ramp(), (37, 37), interpolation=cv2.INTER_CUBIC).astype(int)  # 256 to 224, as 37 to 32
    places, flips = set(), 0
    for visit in range(12):
        for view in ramps(SQUASH).draw(0, visit)["support"]:
            row = view[0, 0].numpy().astype(int)
            flipped = row[0] > row[-1]
            row = row[::-1] if flipped else row
            fitting = [left for left in range(6) if np.abs(row - whole[0, left : left + 32, 0]).max() <= 1]
            assert len(fitting) == 1
            places.add(fitting[0])
            flips += flipped
    assert places == set(range(6))
    assert 25 < flips < 71  # of 96


def test_crops_keep_the_proportions():
    # Resized as in scoring, a ramp has a different slope at each scale, never the squashed one.
    slopes = {
        "support": set(),
        "query": set(),
    }
    mirrored = {"support": 0, "query": 0}
    for visit in range(10):
        item = ramps(CROPS).draw(0, visit)
        for side, found in slopes.items():
            for view in item[side]:
                row = view[0, 16].float()
                slope = (row[28] - row[3]).item() / 25
                mirrored[side] += slope < 0
                found.add(round(abs(slope)))
    per_pixel = 250 / 89
    # Half of 60 rows is less than a view's 32: the view then spans all 60 rows, 60/32 as steep.
    assert slopes["query"] == slopes["support"] == {round(per_pixel), round(per_pixel * 60 / 32)}
    assert mirrored["query"] == 0
    assert 20 < mirrored["support"] < 60  # of 80


# Rated images as views


@pytest.fixture
def pictures(tmp_path):
    """Six files of noise."""
    paths = []
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (50, 60 + number, 3), dtype=np.uint8)
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(noise).save(paths[-1])
    return paths


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are read."""
    found, read_image = [], rated_views.read_image

    def counted_read(path, **options):
        found.append(str(path))
        return read_image(path, **options)

    monkeypatch.setattr(rated_views, "read_image", counted_read)
    return found


def test_views_are_kept(pictures, reads):
    images = RatedViews(pictures, np.linspace(0, 1, 6), SQUASH)
    first = images.batch([4, 2])["img"]
    assert torch.equal(images.batch([2, 4])["img"], first.flip(0))
    images[4]
    assert list(images.problems()) == [(number, None) for number in range(6)]
    assert sorted(reads) == sorted(pictures)


def test_views_beyond_the_budget_are_made_each_time(pictures, reads, monkeypatch):
    size = RatedViews(pictures, np.zeros(6), SQUASH).views(0).nbytes
    monkeypatch.setattr(rated_views, "_ROOM", 2 * size + 1)
    images = RatedViews(pictures, np.linspace(0, 1, 6), SQUASH)
    first = images.batch([3, 1])["img"]
    reads.clear()
    rest = images.batch([5, 3, 2])["img"]
    assert sorted(reads) == [pictures[2], pictures[5]]
    assert torch.equal(rest[1], first[0])
    assert torch.equal(images.batch([2, 5])["img"], rest[[2, 0]])
    assert sorted(reads) == sorted([pictures[2], pictures[5]] * 2)


@pytest.mark.parametrize("preprocess", [SQUASH, CROPS])
def test_item_of_rated_images(pictures, preprocess):
    images = RatedViews(pictures, np.linspace(0, 1, 6), preprocess)
    item = images[2]
    assert item["img_path"] == pictures[2]
    assert item["index"] == 2
    assert item["mos_label"].tolist() == pytest.approx([0.4])
    pixels = torch.from_numpy(np.asarray(Image.open(pictures[2])).copy()).permute(2, 0, 1)[None].float() / 255
    expected = (make_views(pixels, preprocess)[0] * 255).round().to(torch.uint8)
    assert torch.equal(item["img"], expected)
    batch = images.batch([5, 2])
    assert torch.equal(batch["img"][1], expected)
    assert batch["mos_label"].flatten().tolist() == pytest.approx([1, 0.4])
    assert batch["mos_label"].shape == (2, 1)
    assert batch["index"].tolist() == [5, 2]


def test_training_views_are_a_function_of_seed_and_number(pictures):
    def crops(seed, number):
        images = RatedViews(pictures, np.zeros(6), CROPS, training_views=6, seed=seed)
        return images.views(number)

    assert crops(1, 3).shape == (6, 3, 32, 32)
    assert torch.equal(crops(1, 3), crops(1, 3))
    assert not torch.equal(crops(1, 3), crops(2, 3))
    # Images of the same size get different crops, too.
    same_picture = RatedViews([pictures[0]] * 2, np.zeros(2), CROPS, training_views=6)
    assert not torch.equal(same_picture.views(0), same_picture.views(1))


def test_squashed_training_view_is_the_whole(pictures):
    images = RatedViews(pictures, np.zeros(6), SQUASH, training_views=6)
    pixels = torch.from_numpy(np.asarray(Image.open(pictures[1])).copy()).permute(2, 0, 1)[None].float() / 255
    expected = (make_training_views(pixels, SQUASH, 6, 0) * 255).round().to(torch.uint8)
    assert images.views(1).shape == (1, 3, 36, 36)
    assert torch.equal(images.views(1), expected)


def test_problems_come_in_order(pictures, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    missing = str(tmp_path / "missing.png")
    cut = tmp_path / "cut.png"
    with open(pictures[0], "rb") as file:
        cut.write_bytes(file.read()[:2000])
    paths = [missing, pictures[0], str(tmp_path / "text.png"), pictures[1], pictures[2], str(cut)]
    images = RatedViews(paths, np.zeros(6), SQUASH)
    found = list(images.problems())
    assert [number for number, _ in found] == list(range(6))
    assert [reason is not None for _, reason in found] == [True, False, True, False, False, True]
    for number in (0, 2, 5):
        reason = found[number][1]
        assert reason
        assert paths[number] not in reason  # the caller adds the file
        with pytest.raises(ImageError) as raised:
            images[number]
        assert str(raised.value) == f"{paths[number]}: {reason}"
    assert len({found[number][1] for number in (0, 2, 5)}) == 3


# How the released code ends training


class Learner:
    """The part of a trainer that `BestOnTest` uses."""

    def __init__(self, rate=1e-3):
        self.learned = {"weight": torch.nn.Parameter(torch.zeros(2))}
        self.optimizer = SimpleNamespace(param_groups=[{"lr": rate}, {"lr": 2 * rate}])

    def set_learned(self, values):
        with torch.no_grad():
            self.learned["weight"].copy_(values["weight"])


def follow(measured, rate=1e-3, epochs=1000):
    """Train until it says so; the weight is the number of epochs trained.

    Args:
        measured: epochs trained -> what the judge says; 0.5 where nothing is given.
        rate: learning rate.
        epochs: at most.

    Returns:
        The learner, the chooser, epochs after which the rate fell, and after which the judge was asked.
    """
    learner = Learner(rate)
    asked, fell = [], []

    def judge():
        trained = int(learner.learned["weight"][0].item())
        asked.append(trained)
        return measured.get(trained, 0.5)

    choose = BestOnTest(learner, judge)
    for epoch in range(epochs):
        with torch.no_grad():
            learner.learned["weight"] += 1
        before = learner.optimizer.param_groups[0]["lr"]
        over = choose(learner, epoch)
        if learner.optimizer.param_groups[0]["lr"] != before:
            fell.append(epoch + 1)
        if over:
            break
    return learner, choose, fell, asked


def test_it_evaluates_at_the_start_and_every_five_epochs():
    assert follow({}, epochs=29)[3] == [0, 5, 10, 15, 20, 25]
    assert follow({}, epochs=30)[3] == [0, 5, 10, 15, 20, 25, 30]


def test_learning_rate_falls_after_six_evaluations_without_improvement():
    learner, choose, fell, _ = follow({0: 1.0}, epochs=70)
    assert fell == [30, 60]
    assert [group["lr"] for group in learner.optimizer.param_groups] == pytest.approx([0.09e-3, 0.18e-3])
    assert choose.best_epoch == 0


def test_an_improvement_resets_the_count():
    # 1.2 at 15, equalled at 40, which is no improvement; then 1.3 at 75.
    learner, choose, fell, _ = follow({0: 1.0, 15: 1.2, 20: 1.1, 40: 1.2, 75: 1.3}, epochs=106)
    assert fell == [15 + 30, 75 + 30]
    assert choose.best_epoch == 75
    choose.restore(learner)
    assert learner.learned["weight"].tolist() == [75, 75]


def test_five_evaluations_without_improvement_are_tolerated():
    _, choose, fell, _ = follow({0: 1.0, 30: 1.1, 60: 1.2, 90: 1.3}, epochs=100)
    assert fell == []
    assert choose.best_epoch == 90


def test_it_ends_when_the_learning_rate_is_too_small():
    learner, choose, fell, _ = follow({0: 1.0})
    # 1e-3 * 0.3^6 = 7.29e-7 continues, 0.3^7 = 2.19e-7 is below 5e-7.
    assert fell == [30, 60, 90, 120, 150, 180, 210]
    assert learner.learned["weight"].tolist() == [210, 210]
    assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * 0.3**7)
    choose.restore(learner)
    assert learner.learned["weight"].tolist() == [0, 0]  # the start was the best


def test_it_continues_while_the_learning_rate_is_large_enough():
    assert follow({0: 1.0}, rate=1.7e-6, epochs=59)[2] == [30]  # 5.1e-7
    assert follow({0: 1.0}, rate=1.6e-6, epochs=59)[0].learned["weight"][0] == 30  # 4.8e-7


def test_the_best_weights_do_not_follow_training():
    learner, choose, _, _ = follow({5: 2.0}, epochs=14)
    kept = choose.state()["weights"]["weight"]
    assert kept.tolist() == [5, 5]
    choose.restore(learner)
    with torch.no_grad():
        learner.learned["weight"] += 1
    assert kept.tolist() == [5, 5]


@pytest.mark.parametrize("cut", [3, 5, 17, 29, 34])
def test_choice_resumes_from_a_saved_state(cut):
    measured = {0: 1.0, 5: 1.1, 20: 1.05}
    whole, choose_whole, _, _ = follow(measured, epochs=60)
    first, choose_first, _, _ = follow(measured, epochs=cut)
    second = Learner(first.optimizer.param_groups[0]["lr"])
    second.set_learned({"weight": first.learned["weight"].detach().clone()})

    def judge():
        return measured.get(int(second.learned["weight"][0].item()), 0.5)

    choose = BestOnTest(second, judge)
    choose.load_state(through_a_file(choose_first.state()))
    for epoch in range(cut, 60):
        with torch.no_grad():
            second.learned["weight"] += 1
        choose(second, epoch)
    assert choose.state().keys() == choose_whole.state().keys()
    for name, value in choose_whole.state().items():
        if name != "weights":
            assert choose.state()[name] == value, name
    rates = [t.optimizer.param_groups[0]["lr"] for t in (second, whole)]
    assert rates[0] == rates[1] < 1e-3
    choose.restore(second)
    assert second.learned["weight"].tolist() == [5, 5]


def test_best_weights_of_a_real_trainer(small_checkpoint):
    trainer = make_trainer(GRMPAdaptModel, small_checkpoint())
    numbers = iter([0.5, 0.9, 0.7])
    choose = BestOnTest(trainer, lambda: next(numbers))
    for epoch in range(10):
        step(trainer, epoch + 1, shots())
        assert not choose(trainer, epoch)
        if epoch == 4:
            best = values(trainer)
    assert not same(values(trainer), best)
    choose.restore(trainer)
    assert same(values(trainer), best)
    assert choose.best_epoch == 5


# Devices and processes


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        ({"num_gpu": 2}, {}, "num_gpu: this trainer uses one GPU, not 2"),
        ({"dist": True}, {}, "runs in one process"),
        ({"world_size": 1}, {"WORLD_SIZE": "2"}, "without torchrun"),
    ],
)
def test_several_gpus_or_processes_are_refused(small_checkpoint, monkeypatch, options, environment, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    opt = trainer_options(small_checkpoint(), AdaptSettings(), 0, "cpu")
    with pytest.raises(ConfigError, match=said):
        GRMPAdaptModel({**opt, **options})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cuda:1", "CUDA_VISIBLE_DEVICES=1, and choose cuda"),
        ("mps", "scoring runs on MPS, training does not"),
        ("tpu", "must be auto"),
    ],
)
def test_devices_that_training_does_not_know(name, said):
    with pytest.raises(InputError, match=said) as found:
        training_device(name)
    assert found.value.argument == "device"
