"""The authors' meta-prompt pre-training, tests/golden/data/meta.npz, through our trainer.

Three tasks of each phase, `protocol: released`. Adam's steps are close to the sign of a gradient, so
single entries with a tiny gradient may differ by up to 2e-4 a step between float32 implementations:
norms are compared tightly, entries with a share of outliers.
"""

import copy

import numpy as np
import pytest
import torch

from grmp_plugin.network.authors import own_name
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.training.meta import Batch, Task
from grmp_plugin.training.pretrain_model import GRMPPretrainModel

TASKS, BATCHES = 3, 2


def batch(phase, task, split, number):
    """A batch of the recipe: images already normalised, labels in float32."""
    seed = 1000 * (1 + phase) + 100 * task + 10 * split + number
    rng = np.random.Generator(np.random.PCG64(seed))
    low = rng.standard_normal((4, 3, 7, 7)).repeat(32, 2).repeat(32, 3)
    high = rng.standard_normal((4, 3, 224, 224))
    share = rng.random((4, 1, 1, 1))
    labels = rng.random((4, 1))
    pixels = ((1 - share) * low + share * high).astype(np.float32)
    return Batch(torch.from_numpy(pixels), torch.from_numpy(labels[:, 0].astype(np.float32)))


def task(phase, number, dtype):
    def batches(split):
        found = [batch(phase, number, split, b) for b in range(BATCHES)]
        return [Batch(b.pixels.to(dtype), b.quality.to(dtype)) for b in found]

    return Task(batches(0), batches(1))


def run(network, dtype, phases, tasks=TASKS):
    """Values by stage and name, and all losses in the order of the steps."""
    trainer = GRMPPretrainModel(
        {
            "num_gpu": 0,
            "is_train": True,
            "dist": False,
            "manual_seed": 0,
            "network": {"model": Checkpoint(network.config, network.state_dict(), {})},
            "train": {
                "optim": {"type": "Adam", "lr": 1e-4},
                "protocol": "released",
                "outer_learning_rate": 1e-2,
                "tasks_per_step": TASKS,
            },
        }
    )
    trainer.net.to(dtype)
    trainer.net.visual_prompts.dropout.p = 0.0
    trainer.theta = trainer._values()
    stages = {"meta_before": dict(zip(trainer.learned, copy.deepcopy(trainer.theta), strict=True))}
    losses = []
    loss = trainer._loss

    def spied(some):
        value = loss(some)
        losses.append(value.item())
        return value

    trainer._loss = spied
    step = 0
    for phase, name in enumerate(("tid", "kadid")[:phases]):
        for number in range(tasks):
            step += 1
            trainer.source, trainer.task = phase, task(phase, number, dtype)
            trainer.optimize_parameters(step)
            values = [p.detach().clone() for p in trainer.learned.values()]
            stages[f"temp_after_{name}_task{number}"] = dict(zip(trainer.learned, values, strict=True))
        if tasks == TASKS:
            assert trainer.log_dict["moved"] > 0
            stages[f"meta_after_{name}"] = dict(zip(trainer.learned, trainer.theta, strict=True))
    return stages, losses


@pytest.fixture(scope="module")
def in_float64(network):
    """The first task only: a step in float64 takes seconds."""
    return run(network, torch.float64, 1, tasks=1)


@pytest.fixture(scope="module")
def in_float32(network):
    return run(network, torch.float32, 2)


def compare(stages, numbers, precision, norm_tolerance, outliers):
    """Compare norms where there are any, first entries, and how far each stage is from the start."""
    start = stages["meta_before"]
    checked = 0
    for stage, tensors in stages.items():
        change = numbers.get(f"{stage}|norm_change_from_initial_{precision}")
        for index, name in enumerate(map(str, numbers["tracked"])):
            key, found = f"{stage}|{name}", tensors[own_name(name)].double()
            norm = numbers.get(f"{key}|norm_{precision}")
            if norm is not None:
                assert found.norm().item() == pytest.approx(float(norm), rel=norm_tolerance), key
            if change is not None:
                moved = (found - start[own_name(name)].double()).norm().item()
                assert moved == pytest.approx(float(change[index]), rel=2e-3), key
            entries = np.abs(found.flatten()[:64].numpy() - numbers[f"{key}|first64_{precision}"].ravel())
            assert (entries > 1e-6).mean() <= outliers, (key, np.sort(entries)[-5:])
            checked += 1
    return checked


def test_batches_are_those_of_the_authors(meta_numbers):
    first = batch(0, 0, 0, 0)
    np.testing.assert_allclose(
        first.pixels[:, 0, 0, :8], meta_numbers["probe_input_first8_seed1000"], atol=1e-6
    )
    np.testing.assert_allclose(first.quality, meta_numbers["probe_labels_seed1000"][:, 0], atol=1e-7)


def test_float64(in_float64, meta_numbers):
    stages, losses = in_float64
    assert losses[0] == pytest.approx(meta_numbers["losses_f64"][0], rel=1e-12)
    # Adam's first steps amplify noise in gradients near zero.
    np.testing.assert_allclose(losses, meta_numbers["losses_f64"][:4], rtol=1e-7)
    assert compare(stages, meta_numbers, "f64", 1e-9, 0.02) == 2 * 7


def test_float32_both_phases(in_float32, meta_numbers):
    stages, losses = in_float32
    np.testing.assert_allclose(losses, meta_numbers["losses_f32"], atol=2e-4)
    assert compare(stages, meta_numbers, "f32", 1e-6, 0.1) == 9 * 7


@pytest.mark.parametrize("phase", ["tid", "kadid"])
def test_length_of_the_outer_step(in_float32, meta_numbers, phase):
    stages, _ = in_float32
    before = stages["meta_before" if phase == "tid" else "meta_after_tid"]
    after = stages[f"meta_after_{phase}"]
    names = [own_name(str(name)) for name in meta_numbers["tracked"]]
    applied = [(after[name] - before[name]).double().norm().item() for name in names]
    # float32 values near 1 hold a step of 1e-6 to about a twentieth only.
    np.testing.assert_allclose(applied, meta_numbers[f"{phase}_applied_delta_norm_f32"], rtol=2e-3, atol=2e-7)
