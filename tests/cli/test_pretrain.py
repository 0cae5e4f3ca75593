"""`grmp pretrain` from outside: processes, their output, their files and exit codes."""

import random
import re
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_runs as runs
from PIL import Image
from safetensors.torch import load_file

from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.network.initial import initial_prompts
from grmp_plugin.network.models import find_checkpoint

STEPS = 5  # of two tasks each; ten lines are printed, one per task
TASKS = 2 * STEPS
DRAWN = ("pretrain", "--data", "drawn", "--outer-steps", "1", "--config", "meta.yml")
PRISTINE = ("pretrain", "--pristine", "pristine", "--outer-steps", str(STEPS), "--config", "meta.yml")
KILLS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rated photographs, pristine ones, and folders that cannot be used as such."""
    folder = tmp_path_factory.mktemp("pretrain") / "photographs"
    runs.rated_photographs(folder)
    (folder / "meta.yml").write_text(
        "training: {tasks_per_step: 2, images_per_task: 10, support_batch: 4, query_batch: 4, "
        "inner_learning_rate: 1.0e-3}\n"
    )
    crops = [Image.fromarray(pixels) for pixels in runs.crops().values()]
    for name in ("pristine", "single", "tiny", "torn", "empty"):
        (folder / name).mkdir()
    for number, crop in enumerate(crops[:3]):
        crop.save(folder / "pristine" / f"{number}.png")
        crop.save(folder / "torn" / f"{number}.png")
        crop.resize((90, 90)).save(folder / "tiny" / f"{number}.png")
    crops[0].save(folder / "single" / "0.png")
    content = (folder / "torn" / "1.png").read_bytes()
    (folder / "torn" / "1.png").write_bytes(content[: len(content) // 2])
    return folder


@pytest.fixture(scope="module")
def forked(grmp, folder, tmp_path_factory):
    """Cheap runs in the folder of the photographs; nothing can be downloaded."""
    environment = grmp.environment | {"HF_HUB_OFFLINE": "1"}
    forked = runs.Forked(environment, tmp_path_factory.mktemp("output"), folder)
    yield forked
    forked.close()


def _assert_no_traceback(err: str) -> None:
    for sign in ("Traceback", "Error:", "Exception ignored", 'File "', "Warning"):
        assert sign not in err


def _assert_identical(first: Path, second: Path) -> None:
    """Two checkpoints have the same bits and the same info."""
    a, b = load_file(first), load_file(second)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert read_checkpoint(first).info == read_checkpoint(second).info


def _is_prompt(name: str) -> bool:
    return name.startswith(("text_prompt.", "visual_prompts."))


def _state(path: Path) -> dict:
    """Content of a state file, loaded without running code from it."""
    return torch.load(path, weights_only=True)["content"]


def _wait_until(condition, run) -> None:
    """Wait until a condition holds, before the run ends."""
    deadline = time.monotonic() + 100
    while not condition():
        assert not run.ended, run.err
        assert time.monotonic() < deadline
        time.sleep(0.003)


# Drawn scenes


@pytest.fixture(scope="module")
def drawn(grmp, folder):
    """Prompts learned from drawn scenes, which need no file."""
    result = grmp(*DRAWN, "--out", "prompts.safetensors", "--format", "json", cwd=folder)
    assert result.code == 0, result.err
    return result


def test_only_prompts_change(folder, drawn):
    start = {name: t.float() if t.is_floating_point() else t for name, t in _start_tensors().items()}
    learned = load_file(folder / "prompts.safetensors")
    assert learned.keys() == start.keys()
    changed = {name for name in start if not torch.equal(start[name], learned[name])}
    assert changed == {name for name in start if _is_prompt(name)}


def _start_tensors() -> dict[str, torch.Tensor]:
    return dict(find_checkpoint("grmp_iqa-tiny").tensors)


def test_prompts_are_learned_and_not_only_drawn(folder, drawn):
    checkpoint = read_checkpoint(folder / "prompts.safetensors")
    before = initial_prompts(checkpoint.config, 0)
    after = {name: tensor for name, tensor in checkpoint.tensors.items() if _is_prompt(name)}
    assert all(not torch.equal(before[name], after[name]) for name in after)
    distance = sum(float((after[name] - before[name]).square().sum()) for name in after)
    norm = sum(float(before[name].square().sum()) for name in after)
    moved = drawn.json["prompts"]["prompts_moved"]
    assert 0 < moved == pytest.approx((distance / norm) ** 0.5, abs=1e-4)


def test_json_says_what_was_done(folder, drawn):
    document = drawn.json
    assert list(document) == ["run", "prompts"]
    run, prompts = document["run"], document["prompts"]
    assert (run["command"], run["model"], run["data"], run["seed"]) == (
        *("pretrain", "grmp_iqa-tiny"),
        *(["drawn"], 0),
    )
    assert (run["settings"]["tasks_per_step"], run["settings"]["outer_steps"]) == (2, 1)
    assert (prompts["stage"], prompts["distortions"]) == ("pre-trained prompts", 30)
    info = dict(read_checkpoint(folder / "prompts.safetensors").info)
    # Thousands of digests, which the checkpoint keeps and nobody wants to read.
    assert set(info.pop("learned_from")) == {"photographs", "ratings", "originals"}
    assert prompts == info


def test_messages_are_on_stderr_only(drawn):
    _assert_no_traceback(drawn.err)
    for words in ("30 distortions", "support loss", "written to prompts.safetensors", "grmp adapt"):
        assert words in drawn.err
        assert words not in drawn.text


def test_adaptation_starts_from_the_prompts(forked, folder, drawn):
    result = forked(
        *("adapt", "ratings.csv", "--config", "small.yml", "--split-column", "split"),
        *("--model", "prompts.safetensors", "--out", "adapted.safetensors", "--format", "json"),
    )
    assert result.code == 0, result.err
    assert result.json["run"]["model"] == "prompts.safetensors"
    assert read_checkpoint(folder / "adapted.safetensors").info["start"] == "prompts.safetensors"
    prompts, adapted = (load_file(folder / f"{name}.safetensors") for name in ("prompts", "adapted"))
    changed = {name for name in prompts if not torch.equal(prompts[name], adapted[name])}
    assert {name for name in changed if _is_prompt(name)} == {"text_prompt.ctx"}
    assert "clip.visual.ln_post.weight" in changed


# Pristine pictures, interrupted and resumed


@pytest.fixture(scope="module")
def pristine(forked, folder):
    """Prompts learned from three photographs without interruption, and how long the parts took."""
    run = forked.start(*PRISTINE, "--out", "whole.safetensors")
    started = time.monotonic()
    _wait_until(lambda: "support loss" in run.err, run)
    first_task = time.monotonic()
    result = run.wait()
    assert result.code == 0, result.err
    return SimpleNamespace(
        result=result,
        path=folder / "whole.safetensors",
        setup=first_task - started,
        training=time.monotonic() - first_task,
    )


def test_stdout_is_one_line(pristine):
    checkpoint = read_checkpoint(pristine.path)
    moved = checkpoint.info["prompts_moved"]
    assert moved > 0
    assert pristine.result.out.decode() == (
        f"prompts moved by {moved:.1%} of their norm over {STEPS} outer steps\n"
    )
    assert checkpoint.info["data"] == ["pristine"]
    assert checkpoint.info["outer_steps"] == STEPS
    assert not pristine.path.with_name("whole.safetensors.state").exists()


def test_killed_again_and_again_and_resumed_to_the_same_bits(forked, folder, pristine):
    out, state = folder / "chain.safetensors", folder / "chain.safetensors.state"
    command = (*PRISTINE, "--out", out.name)
    chance = random.Random(11)
    steps, torn = [0], set()
    for kill in range(KILLS):
        run = forked.start(*command, *(["--resume"] if state.exists() else []), save_every=0.0)
        if kill == 0:  # before it has come to the first task
            time.sleep(chance.uniform(0, 0.6) * pristine.setup)
        else:
            _wait_until(lambda run=run: "support loss" in run.err, run)
            time.sleep(chance.uniform(0, 0.4) * pristine.training / TASKS)
        if kill == 2:  # during a save
            _wait_until(lambda known=frozenset(torn): _half_written(folder) - known, run)
        run.send(signal.SIGKILL)
        assert run.wait().code == -signal.SIGKILL
        torn |= _half_written(folder)
        assert not out.exists()
        if state.exists():
            step = _state(state)["loop"]["step"]
            assert step >= steps[-1]
            steps.append(step)
    assert torn, "no kill met a save"
    assert 2 < len(set(steps)) <= TASKS
    result = forked(*command, "--resume")
    assert result.code == 0, result.err
    assert result.err.count("support loss") == TASKS - steps[-1]
    assert result.out == pristine.result.out
    _assert_identical(out, pristine.path)
    assert not state.exists()


def _half_written(folder: Path) -> set[Path]:
    return set(folder.glob(".chain.safetensors.state.*"))


@pytest.fixture(scope="module")
def interrupted(forked, folder, pristine):
    """Ctrl-C after a few tasks, an attempt to resume with another seed, and resuming."""
    out, state = folder / "stopped.safetensors", folder / "stopped.safetensors.state"
    command = (*PRISTINE, "--out", out.name)
    run = forked.start(*command)
    _wait_until(lambda: run.err.count("support loss") >= 3, run)
    time.sleep(0.02)  # into the next task
    run.send(signal.SIGINT)
    stopped = run.wait()
    kept = shutil.copy(state, folder / "copy.state")
    other = forked(*command, "--resume", "--seed", "1")
    untouched = state.read_bytes() == kept.read_bytes() and not out.exists()
    resumed = forked(*command, "--resume")
    return SimpleNamespace(
        stopped=stopped, kept=kept, other=other, untouched=untouched, resumed=resumed, out=out, left=state
    )


def test_interrupt_ends_after_the_task_and_keeps_the_state(interrupted):
    stopped = interrupted.stopped
    assert stopped.code == 130
    assert stopped.out == b""
    _assert_no_traceback(stopped.err)
    said = re.search(rf"interrupted after step (\d+) of {TASKS}", stopped.err)
    assert said
    content = _state(interrupted.kept)
    assert content["loop"]["step"] == len(content["log"]) == int(said[1]) >= 3
    assert "--resume" in stopped.err


def test_state_of_another_run_is_refused_by_what_differs(interrupted):
    assert interrupted.other.code == 1
    assert "stopped.safetensors.state belongs to another run (seed: 0 there, 1 here)" in interrupted.other.err
    assert interrupted.untouched


def test_interrupted_training_goes_on_to_the_same_bits(interrupted, pristine):
    assert interrupted.resumed.code == 0, interrupted.resumed.err
    assert interrupted.resumed.err.count("support loss") < TASKS - 2
    _assert_identical(interrupted.out, pristine.path)
    assert not interrupted.left.exists()


# Mistakes


OUT = ["--out", "refused.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "drawn", "--pristine", "pristine", *OUT], 2, ["--pristine", "one of them"]),
        (["--data", "drawn"], 2, ["--out"]),
        (["--data", "drawn", "--out", "a.pt"], 2, ["--out: a.pt", "a.safetensors"]),
        (["--data", "drawn", "--out", "no/a.safetensors"], 2, ["--out: no/a.safetensors", "does not exist"]),
        (["--data", "drawn", "--outer-steps", "0", *OUT], 2, ["--outer-steps"]),
        (["--pristine", "single", *OUT], 2, ["single", "at least 2 pristine pictures", "not 1"]),
        (["--pristine", "empty", *OUT], 2, ["empty", "no images", ".png"]),
        (["--pristine", "tiny", *OUT], 1, ["tiny/", ".png", "90 x 90", "each side must be at least 96"]),
        (["--pristine", "torn", *OUT], 1, ["torn/1.png", "truncated"]),
        (["--data", "kadid10", *OUT], 2, ["'kadid10'", "Did you mean 'kadid10k'?"]),
        (["--data", "kadid10k", "--data-root", "empty", *OUT], 1, ["kadid10k", "empty", "--data drawn"]),
        (["--data", "drawn", "--protocol", "papr", *OUT], 2, ["--protocol", "paper or released", "'papr'"]),
        (["--data", "drawn", "--config", "small.yml", *OUT], 2, ["small.yml", "unknown key 'epochs'"]),
        (["--data", "drawn", "--config", "tiny/pre", *OUT], 2, ["--config: tiny/pre", "tiny/pretrain"]),
        (["--data", "drawn", "--resume", *OUT], 1, ["nothing to resume", "refused.safetensors.state"]),
        (["--pristine", "nowhere", *OUT], 2, ["nowhere", "no such folder"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].startswith("--") else None,
)
def test_mistakes(forked, folder, arguments, code, said):
    before = set(folder.rglob("*"))
    config = [] if "--config" in arguments else ["--config", "meta.yml"]
    result = forked("pretrain", *arguments, *config)
    assert result.code == code, result.err
    assert result.out == b""
    for words in said:
        assert words in result.err
    _assert_no_traceback(result.err)
    assert set(folder.rglob("*")) == before


# Help


def test_help_is_there_without_torch(grmp):
    result = grmp("pretrain", "--help", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.code == 0
    imported = {line.rpartition("|")[2].strip() for line in result.err.splitlines()}
    assert "grmp_plugin" in imported
    assert not {"torch", "pyiqa", "open_clip", "numpy", "PIL.Image", "huggingface_hub"} & imported
    for words in ("--data", "--pristine", "--outer-steps", "--resume", "--out", "drawn"):
        assert words in result.text
