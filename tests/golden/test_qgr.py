"""One step of the authors' few-shot training, tests/golden/data/qgr.npz, through our trainer.

float64 is the truth (1e-8, relative); float32 may differ by its own rounding: 1e-4 in norms, 2e-3 in dots.
"""

import numpy as np
import pytest
import torch

from grmp_plugin.network.authors import own_name
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.frozen import FrozenPart, Shown
from grmp_plugin.training.gradient import regularize
from grmp_plugin.training.teacher import Teacher

PRECISIONS = {"f64": (torch.float64, 1e-8, 1e-8, 1e-12), "f32": (torch.float32, 1e-4, 2e-3, 1e-4)}


@pytest.fixture(scope="module")
def golden(qgr_numbers):
    """The numbers, and our names of the 101 tensors in their order."""
    return qgr_numbers, [own_name(str(name)) for name in qgr_numbers["names"]]


def make_trainer(network, dtype, strength=5.0):
    checkpoint = Checkpoint(network.config, network.state_dict(), {})
    trainer = GRMPAdaptModel(
        {
            "num_gpu": 0,
            "is_train": True,
            "dist": False,
            "manual_seed": 0,
            "network": {"type": "GRMPIQA", "model": checkpoint},
            "train": {"optim": {"type": "SGD", "lr": 1e-3, "weight_decay": 1e-4}, "strength": strength},
        }
    )
    trainer.net.to(dtype)
    trainer.frozen = FrozenPart(trainer.net, Teacher(trainer.net, trainer.learned))  # in this precision
    trainer.net.visual_prompts.dropout.p = 0.0
    return trainer


@pytest.fixture(scope="module", params=list(PRECISIONS))
def stepped(request, network, numbers, golden):
    """The trainer after the step, with both raw gradients, the losses and the values before it."""
    values, names = golden
    trainer = make_trainer(network, PRECISIONS[request.param][0])
    assert set(trainer.learned) == set(names)
    before = {name: p.detach().clone() for name, p in trainer.learned.items()}
    raw = []
    grad = torch.autograd.grad

    def spied(loss, parameters, **options):
        raw.append(dict(zip(trainer.learned, grad(loss, parameters, **options), strict=True)))
        return tuple(raw[-1].values())

    images = torch.from_numpy(numbers["images_u8"]).unsqueeze(1)
    trainer.feed_data({"img": images, "mos_label": torch.from_numpy(values["targets"])[:, None]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "grad", spied)
        trainer.optimize_parameters(int(values["epoch_seed"]) + 1)
    return request.param, trainer, before, raw


def norms(tensors, names):
    return np.array([0.0 if tensors[n] is None else tensors[n].double().norm().item() for n in names])


def test_losses_and_angle(stepped, golden):
    precision, trainer, _, _ = stepped
    values, _ = golden
    tolerance = {"f64": 1e-10, "f32": 1e-4}[precision]
    log = trainer.log_dict
    assert log["l_quality"] == pytest.approx(float(values[f"xe_loss_{precision}"]), abs=tolerance)
    assert log["l_semantic"] == pytest.approx(float(values[f"kl_loss_{precision}"]), abs=tolerance)
    # The angle depends on dot products, which have rounding noise of their own.
    angle = {"f64": 1e-8, "f32": 5e-3}[precision]
    assert log["angle"] == pytest.approx(float(values[f"angle_deg_{precision}"]), abs=angle)


def test_raw_gradients(stepped, golden):
    precision, _, _, raw = stepped
    values, names = golden
    _, tight, loose, _ = PRECISIONS[precision]
    quality, semantic = raw
    np.testing.assert_allclose(norms(quality, names), values[f"norm_gd_{precision}"], rtol=tight)
    np.testing.assert_allclose(norms(semantic, names), values[f"norm_gg_{precision}"], rtol=tight)
    dots = [
        0.0 if semantic[n] is None else float((quality[n].double() * semantic[n].double()).sum())
        for n in names
    ]
    scale = values[f"norm_gd_{precision}"] * values[f"norm_gg_{precision}"]
    golden_dots = values[f"dot_{precision}"]
    # Relative, and where the two gradients are nearly orthogonal relative to their lengths.
    assert (np.abs(dots - golden_dots) <= loose * np.abs(golden_dots) + 1e-2 * loose * scale).all()


@pytest.mark.parametrize("strength", [5, 1])
def test_regularized_gradients(stepped, golden, strength):
    precision, trainer, _, raw = stepped
    values, names = golden
    result = regularize(list(raw[0].values()), list(raw[1].values()), float(strength))
    order = [list(trainer.learned).index(name) for name in names]
    projected = np.array(result.projected)[order]
    assert (projected == values[f"projected_{precision}"]).all()
    assert 0 < projected.sum() < len(names)
    assert result.unreached == 1  # the context, which only the quality texts have
    found = norms(dict(zip(trainer.learned, result.gradients, strict=True)), names)
    tolerance = {"f64": 1e-8, "f32": 1e-3}[precision]
    np.testing.assert_allclose(found, values[f"norm_reg{strength}_{precision}"], rtol=tolerance)


def test_entries_of_gradients(stepped, golden):
    _, trainer, _, raw = stepped
    values, _ = golden
    ours = {}
    for strength in (5, 1):
        result = regularize(list(raw[0].values()), list(raw[1].values()), float(strength))
        ours[f"reg{strength}"] = dict(zip(trainer.learned, result.gradients, strict=True))
    ours |= {"gd": raw[0], "gg": raw[1]}
    checked = 0
    for name in values["selected"]:
        for kind, tensors in ours.items():
            tensor = tensors[own_name(str(name))]
            expected = values[f"{name}|{kind}_f32"].ravel()
            found = np.zeros(len(expected)) if tensor is None else tensor.flatten()[:64].double().numpy()
            scale = np.abs(expected).max() + 1e-12
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3 * scale, err_msg=f"{name} {kind}")
            checked += 1
    assert checked == 4 * len(values["selected"])


def test_values_after_the_step(stepped, golden):
    precision, trainer, before, _ = stepped
    values, names = golden
    moved = norms({n: p.detach() - before[n] for n, p in trainer.learned.items()}, names)
    tolerance = {"f64": 1e-7, "f32": 5e-3}[precision]
    np.testing.assert_allclose(moved, values[f"norm_step5_{precision}"], rtol=tolerance)
    for name in values["selected"]:
        after = trainer.learned[own_name(str(name))].detach().flatten()[:64].double().numpy()
        np.testing.assert_allclose(after, values[f"{name}|after5_f32"].ravel(), rtol=0, atol=1e-6)


def test_what_is_frozen_stays(stepped, network):
    _, trainer, _, _ = stepped
    start = network.state_dict()
    for name, tensor in trainer.net.state_dict().items():
        assert (name in trainer.learned) or torch.equal(tensor.float(), start[name]), name


@pytest.fixture(scope="module")
def trainer(network):
    """A trainer that takes no step."""
    return make_trainer(network, torch.float32)


def test_teacher_shares_what_does_not_change(trainer):
    storages = {}
    for module in (trainer.net, trainer.teacher):
        for tensor in (*module.parameters(), *module.buffers()):
            storages[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
    alone = sum(t.numel() * t.element_size() for t in trainer.net.parameters())
    ratio = sum(storages.values()) / alone
    print(f"student and teacher together: {ratio:.3f} of one network")
    assert 1.1 < ratio <= 1.28


def test_blocks_below_the_first_learned_one_run_without_gradient(trainer):
    tracked = {}
    for tower in ("clip.visual.transformer", "clip.transformer"):
        for number, block in enumerate(trainer.net.get_submodule(tower).resblocks):
            block.mlp.register_forward_hook(
                lambda _module, _inputs, output, key=(tower, number): tracked.update(
                    {key: output.requires_grad}
                )
            )
    trainer.net.train()
    tokens = trainer.net.tokens(torch.rand(1, 3, 224, 224))
    trainer.losses(Shown(tokens, trainer.teacher(tokens)), torch.tensor([0.5]))
    visual = [tracked["clip.visual.transformer", number] for number in range(12)]
    assert visual == [False] * 8 + [True] * 4
