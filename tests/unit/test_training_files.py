"""What trainings do with the files that they read and write: inputs, second runs, full disks, states."""

import errno
import hashlib
import io

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from stop_after import StopAfter

import grmp_plugin as grmp
from grmp_plugin.errors import InputError, TrainingError, TrainingInterrupted
from grmp_plugin.files import only_writer
from grmp_plugin.network import checkpoint as checkpoints
from grmp_plugin.network.checkpoint import write_checkpoint
from grmp_plugin.training.watch import Watch

IMAGES, SHOTS = 10, 4


@pytest.fixture
def folder(tmp_path, small_checkpoint):
    """Rated images, pristine ones, a model, and settings of short trainings."""
    rng = np.random.default_rng(0)
    for place in ("images", "pristine"):
        (tmp_path / place).mkdir()
    for number in range(IMAGES):
        noise = rng.normal(99, 4 * number, (36, 40, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / f"{number}.png")
    rows = [(f"images/{number}.png", 5 - 0.3 * number) for number in range(IMAGES)]
    pandas.DataFrame(rows, columns=["image", "mos"]).to_csv(tmp_path / "ratings.csv", index=False)
    for number in range(2):
        pixels = rng.integers(0, 256, (12, 12, 3)).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "pristine" / f"{number}.png")
    write_checkpoint(small_checkpoint(), tmp_path / "model.safetensors")
    (tmp_path / "adapt.yml").write_text("training: {method: prompts, epochs: 4, learning_rate: 0.05}\n")
    (tmp_path / "pretrain.yml").write_text(
        "training: {tasks_per_step: 2, images_per_task: 6, support_batch: 3, query_batch: 2, "
        "inner_learning_rate: 1.0e-3}\n"
    )
    return tmp_path


@pytest.fixture
def train(folder):
    """Runs `adapt` or `pretrain` for a short time; what is given replaces the usual arguments."""

    def call(command, **given):
        usual = {
            "adapt": {"ratings": folder / "ratings.csv", "shots": SHOTS},
            "pretrain": {"pristine": folder / "pristine", "outer_steps": 2},
        }[command]
        usual |= {"model": folder / "model.safetensors", "config": folder / f"{command}.yml"}
        return getattr(grmp, command)(**{**usual, "device": "cpu", **given})

    return call


BOTH = pytest.mark.parametrize("command", ["adapt", "pretrain"])


# Inputs


def refused(folder, name, call):
    """Have a training write to a link to one of its inputs, which it must refuse."""
    kept = (folder / name).read_bytes()
    out = folder / "out.safetensors"
    out.symlink_to(folder / name)
    with pytest.raises(InputError, match=r"out\.safetensors is the input .*; name another file") as caught:
        call(out)
    assert caught.value.argument == "out"
    assert (folder / name).read_bytes() == kept


@pytest.mark.parametrize("name", ["ratings.csv", "images/7.png"])
def test_ratings_and_their_images_are_not_replaced(folder, train, name):
    refused(folder, name, lambda out: train("adapt", out=out))


def test_pristine_images_are_not_replaced(folder, train):
    refused(folder, "pristine/1.png", lambda out: train("pretrain", out=out))


@BOTH
@pytest.mark.parametrize("argument", ["model", "backbone_weights"])
@pytest.mark.parametrize("by", ["argument", "configuration"])
def test_a_model_and_its_weights_are_not_replaced(folder, train, command, argument, by):
    given = {argument: folder / "model.safetensors", "config": None}
    if by == "configuration":
        (folder / "mine.yml").write_text(f"{argument}: {folder / 'model.safetensors'}\n")
        given = {"config": folder / "mine.yml"}
    usual = {"model": None} if argument == "model" else {"model": "ViT-B-16"}
    refused(folder, "model.safetensors", lambda out: train(command, out=out, **(usual | given)))


def test_the_ratings_of_a_configuration_are_not_replaced(folder, train):
    (folder / "mine.yml").write_text(f"data: {folder / 'ratings.csv'}\n")
    refused(
        folder,
        "ratings.csv",
        lambda out: train("adapt", ratings=None, out=out, config=folder / "mine.yml"),
    )


# Second runs


@BOTH
def test_the_second_of_two_trainings_is_told(folder, train, monkeypatch, command):
    out = folder / "out.safetensors"
    with only_writer(out), pytest.raises(InputError, match="another run is writing") as caught:
        train(command, out=out)
    assert caught.value.argument == "out"
    assert not out.exists()
    held = []

    def write(*arguments):
        try:
            with only_writer(out):
                held.append(False)
        except BlockingIOError:
            held.append(True)
        save(*arguments)

    save = checkpoints.write_checkpoint
    monkeypatch.setattr(checkpoints, "write_checkpoint", write)
    train(command, out=out)
    assert held == [True]


# Full disks


@BOTH
def test_a_full_disk_keeps_the_training(folder, train, monkeypatch, command):
    """And says so; once there is room, the run ends without another step."""
    out, steps = folder / "out.safetensors", []

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    real = checkpoints.save_file
    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(TrainingError) as caught:
        train(command, out=out)
    monkeypatch.setattr(checkpoints, "save_file", real)
    assert "cannot write the model" in caught.value.message
    assert "No space left on device. The state of the run is kept" in caught.value.message
    assert caught.value.see == ("resume",)
    assert not out.exists()

    class Counting(Watch):
        def step(self, step):
            steps.append(step)

    train(command, out=out, resume=True, progress=Counting())
    assert out.exists()
    assert steps == []
    assert not out.with_name("out.safetensors.state").exists()


# States of another form


def tampered(file, change):
    """Change what a state holds, as a program could that also renews the digest."""
    content = torch.load(io.BytesIO(file.read_bytes()[:-32]), weights_only=True)
    change(content["content"])
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    file.write_bytes(data + hashlib.sha256(data).digest())


def outcomes(out, changes, resume):
    """How a training that is resumed from each changed state ends: what is at fault, or what happened."""
    state, found = out.with_name(f"{out.name}.state"), {}
    written = {file: file.read_bytes() for file in (out, state) if file.exists()}
    for name, change in changes.items():
        for file, content in written.items():
            file.write_bytes(content)
        tampered(state, change)
        try:
            resume()
            found[name] = "accepted"
        except TrainingError as error:
            found[name] = error.argument if state.exists() else "removed"
        except Exception as error:
            found[name] = repr(error)
    for file, content in written.items():
        file.write_bytes(content)
    tampered(state, lambda content: None)
    resume()
    return found


def trainers(content):
    return content["loop"]["trainer"]


PRETRAINING = {
    "nothing": lambda content: content.clear(),
    "no loop": lambda content: content.update(loop=None),
    "a log that is too short": lambda content: content["log"].pop(),
    "a log without losses": lambda content: content["log"][0].pop("l_query"),
    "a log without a step's end": lambda content: content["log"][1].pop("moved"),
    "a log of texts": lambda content: content.update(log=["x"]),
    "a loss that is no number": lambda content: content["log"][0].update(l_support="x"),
    "no prompts": lambda content: trainers(content).pop("theta"),
    "too few prompts": lambda content: trainers(content)["theta"].pop(),
    "prompts of another shape": lambda content: trainers(content)["theta"].insert(0, torch.zeros(1)),
    "prompts that are not finite": lambda content: trainers(content)["theta"][0].fill_(torch.nan),
    "prompts that are none": lambda content: trainers(content).update(theta="x"),
    "a sum of another shape": lambda content: trainers(content)["displacement"].__setitem__(0, torch.ones(1)),
    "a sum that is none": lambda content: trainers(content).update(displacement=7),
    "tasks that are no number": lambda content: trainers(content).update(tasks_done="many"),
    "no images": lambda content: trainers(content).update(read=[1]),
    "digests that are none": lambda content: trainers(content).update(read={"photographs": {"a.png": 5}}),
}


def test_a_state_of_another_form_is_refused_by_a_pretraining(folder, train):
    out = folder / "out.safetensors"
    with pytest.raises(TrainingInterrupted):
        train("pretrain", out=out, progress=StopAfter(3))
    found = outcomes(out, PRETRAINING, lambda: train("pretrain", out=out, resume=True))
    assert found == dict.fromkeys(PRETRAINING, "resume")


def best(content):
    return content["training"]["loop"]["after_epoch"]


ADAPTATION = {
    "nothing": lambda content: content.clear(),
    "splits that are none": lambda content: content.update(finished=["x"]),
    "a split without predictions": lambda content: content["finished"][0].pop("after"),
    "images that there are not": lambda content: content["finished"][0]["split"].update(test=[10**6]),
    "a split that is no number": lambda content: content["finished"][0].update(seed="x"),
    "a training that is none": lambda content: content.update(training=3),
    "a log that is none": lambda content: content["training"].update(log="x"),
    "a loop that is none": lambda content: content["training"].update(loop="x"),
    "no best weights": lambda content: best(content).pop("weights"),
    "too few best weights": lambda content: best(content)["weights"].popitem(),
    "best weights of another shape": lambda content: best(content)["weights"].update(
        dict.fromkeys(best(content)["weights"], torch.zeros(1))
    ),
    "best weights that are not finite": lambda content: next(iter(best(content)["weights"].values())).fill_(
        torch.nan
    ),
    "a best score that is none": lambda content: best(content).update(best="x"),
}


def test_a_state_of_another_form_is_refused_by_an_adaptation(folder, train):
    """In the second split of the released protocol, which chooses among the weights of several epochs."""
    arguments = {"protocol": "released", "splits": 2, "out": folder / "out.safetensors"}
    with pytest.raises(TrainingInterrupted):
        train("adapt", progress=StopAfter(4 + 2), **arguments)
    found = outcomes(arguments["out"], ADAPTATION, lambda: train("adapt", resume=True, **arguments))
    assert found == dict.fromkeys(ADAPTATION, "resume")
