"""`python -m pyiqa.train` with the installed wheel, which finds our trainers and data sets by itself."""

import contextlib
import csv
import json
import re
import shutil
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

CONFIGS = Path(__file__).parents[2] / "configs" / "pyiqa"
OFFLINE = {"HF_HUB_OFFLINE": "1"}
STRICT = ("-W", "error::RuntimeWarning")  # pyiqa warns where an entry point cannot be loaded
PROMPTS = ("text_prompt.", "visual_prompts.")
# Of the embedded backbone: four image blocks, three text blocks.
ADAPTED = (
    *("text_prompt.ctx", "clip.ln_final.", "clip.visual.ln_post."),
    *("clip.visual.transformer.resblocks.3.", "clip.transformer.resblocks.2."),
)

_LOG_LINE = re.compile(r"\[epoch: *(\d+), iter: *([\d,]+), lr:\(([\d.e+-]+),\)\] (?:\[.*?\] )?(.*)")


@dataclass(frozen=True)
class Data:
    """Rated images, and pristine ones beside them.

    Attributes:
        ratings: a CSV file.
        images: the folder that its names are relative to.
        pristine: a folder.
    """

    ratings: Path
    images: Path
    pristine: Path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from skimage import data as pictures

    folder = tmp_path_factory.mktemp("data")
    made = Data(folder / "my ratings.csv", folder / "images", folder / "pristine")
    made.images.mkdir()
    made.pristine.mkdir()
    rng = np.random.default_rng(0)
    photograph = pictures.astronaut()
    rows = []
    for number in range(14):
        top, left = rng.integers(0, 400, 2)
        noise = rng.normal(0, 5 * number, (70, 90, 3))
        pixels = (photograph[top : top + 70, left : left + 90] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(made.images / f"{number}.png")
        rows.append((f"{number}.png", round(80 - 4.5 * number + rng.normal(), 2)))
    with open(made.ratings, "w", newline="") as file:
        csv.writer(file).writerows([("image", "mos"), *rows])
    for number in range(3):
        cut = photograph[100 * number : 100 * number + 100, 150:260]
        Image.fromarray(cut).save(made.pristine / f"{number}.png")
    return made


def shipped(name):
    with open(CONFIGS / f"{name}.yml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def on_ratings(options, data, shots):
    """Enter our ratings into the data sets of the options, with few shots."""
    for part in options["datasets"].values():
        if part["type"] == "GRMPShotsDataset":
            part.update(meta_info_file=str(data.ratings), dataroot_target=str(data.images), shots=shots)
    options["num_gpu"] = 0
    options["logger"]["print_freq"] = 1
    return options


def few_shot_options(data, name="few"):
    options = on_ratings(shipped("adapt"), data, shots=8)
    options["name"] = name
    options["datasets"]["train"].update(batch_size_per_gpu=4, views=4)
    options["train"]["total_epoch"] = options["train"]["scheduler"]["T_max"] = 2
    return options


def meta_options(data, name="meta"):
    options = on_ratings(shipped("pretrain"), data, shots=2)
    options["name"] = name
    options["datasets"]["train"].update(pristine=str(data.pristine), images_per_task=10)
    options["train"].update(total_iter=4, tasks_per_step=2, support_batch=4, query_batch=2)
    return options


@dataclass(frozen=True)
class Trained:
    """What a run of pyiqa.train left.

    Attributes:
        folder: that it wrote to.
        log: the steps: epoch, iteration, learning rate and what the trainer logged.
        output: all it said.
    """

    folder: Path
    log: list[dict[str, float]]
    output: str

    @property
    def latest(self) -> Path:
        """The network as it was in the end."""
        return self.folder / "models" / "net_latest.safetensors"


def train(installed, folder, options):
    """Run pyiqa's own command, as its users do."""
    file = folder / f"{options['name']}.yml"
    file.write_text(yaml.safe_dump(options))
    done = installed.run(
        "python", "-W", "error::RuntimeWarning", "-m", "pyiqa.train", "-opt", file, **OFFLINE
    )
    output = done.stdout + done.stderr
    found = re.search(r"experiments_root: (.+)", output)
    written = Path(found[1].strip()) if found else None
    try:
        assert done.returncode == 0, output
        log = []
        for epoch, iteration, rate, losses in _LOG_LINE.findall(output):
            numbers = {key: float(value) for key, value in re.findall(r"(\S+): (\S+)", losses)}
            log.append({"epoch": int(epoch), "iter": int(iteration), "lr": float(rate)} | numbers)
    except BaseException:
        remove(written)
        raise
    return Trained(written, log, output)


def remove(folder):
    """Remove what pyiqa wrote beside its own installation, which other runs may share."""
    if folder is not None and folder.parent.name == "experiments":
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # other runs may be there
            folder.parent.rmdir()


_REGISTRIES = """
import pyiqa
from pyiqa.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY
result["before"] = [name for name in sys.modules if name.startswith("grmp_")]
wanted = {
    "GRMPAdaptModel": MODEL_REGISTRY, "GRMPPretrainModel": MODEL_REGISTRY, "GRMPIQA": ARCH_REGISTRY,
    "GRMPShotsDataset": DATASET_REGISTRY, "GRMPTasksDataset": DATASET_REGISTRY,
}
result["known"] = {name: name in registry for name, registry in wanted.items()}
heavy = ("grmp_plugin.training", "grmp_plugin.network")
result["heavy"] = [name for name in sys.modules if name.startswith(heavy)]
result["classes"] = {name: registry.get(name).__name__ for name, registry in wanted.items()}
files = {name: sys.modules[registry.get(name).__module__].__file__ for name, registry in wanted.items()}
result["files"] = files
others = {name: set(wanted.values()) - {registry} for name, registry in wanted.items()}
result["elsewhere"] = [name for name in wanted for registry in others[name] if name in registry]
"""

# One process for all of them, as `import pyiqa` alone takes seconds; this is what pyiqa.train runs.
_WRONG = """
import os
from pathlib import Path
from pyiqa.train import train_pipeline

for file in sorted(Path(sys.argv[1]).glob("*.yml")):
    arguments, sys.argv = sys.argv, ["train.py", "-opt", str(file)]
    if file.stem.startswith("torchrun"):
        os.environ["WORLD_SIZE"] = "2"  # as each of its processes finds it
    try:
        train_pipeline(str(file.parent))
        result[file.stem] = ["", ""]
    except Exception as error:
        result[file.stem] = [type(error).__module__ + "." + type(error).__name__, str(error)]
    sys.argv = arguments
    os.environ.pop("WORLD_SIZE", None)
"""


def wrong_options(data):
    """Common mistakes, by name."""

    def changed(options, place, **values):
        part = options
        for key in place:
            part = part[key]
        part.update(values)
        return options

    few, meta = few_shot_options, meta_options
    shots, tasks = ("datasets", "train"), ("datasets", "train")
    return {
        "misspelled": changed(few(data), shots, shot=6),
        "misspelled-in-val": changed(few(data), ("datasets", "val"), mosrange=[0, 100]),
        "misspelled-task": changed(meta(data), tasks, image_per_task=10),
        "tasks-as-text": changed(meta(data), tasks, data="drawn"),
        "lr-as-text": changed(few(data), ("train", "optim"), lr="1e-4"),
        "lr-as-text-meta": changed(meta(data), ("train", "optim"), lr="1e-3"),
        "pretrain-network": changed(few(data), ("path",), pretrain_network="mine.safetensors"),
        "other-network": {**few(data), "network": {"type": "CNNIQA"}},
        "protocol": changed(meta(data), ("train",), protocol="own"),
        "two-tasks": changed(meta(data), tasks, batch_size_per_gpu=2),
        "larger-batch": changed(few(data), shots, batch_size_per_gpu=50),
        "no-model": changed(few(data), shots, model=None),
        "no-range": changed(few(data), shots, mos_range=100),
        "misspelled-strength": changed(few(data), ("train",), strenght=1.0),
        "misspelled-network": changed(few(data), ("network",), mdel="grmp_iqa"),
        "no-optimizer": changed(few(data), ("train", "optim"), type="SGDD"),
        "scheduler": changed(meta(data), ("train",), scheduler={"type": "StepLR", "step_size": 1}),
        "chained": changed(meta(data), ("train",), protocol="released"),
        "no-tasks": changed(meta(data), ("train",), tasks_per_step=0),
        "two-gpus": {**few(data), "num_gpu": 2},
        "two-gpus-meta": {**meta(data), "num_gpu": 2},
        "torchrun": few(data),
        "torchrun-meta": meta(data),
    }


@pytest.fixture(scope="module")
def runs(installed, data, pairs, tmp_path_factory):
    """Both trainings, the registries, and the errors for wrong options."""
    folder, wrong = tmp_path_factory.mktemp("options"), tmp_path_factory.mktemp("wrong")
    for name, options in wrong_options(data).items():
        (wrong / f"{name}.yml").write_text(yaml.safe_dump({**options, "name": name}))
    unique = uuid.uuid4().hex
    assert "debug" not in unique  # pyiqa looks for it in names
    found = pairs(
        lambda: train(installed, folder, few_shot_options(data, f"grmp-test-few-{unique}")),
        lambda: train(installed, folder, meta_options(data, f"grmp-test-meta-{unique}")),
        lambda: installed.python(_REGISTRIES, flags=STRICT, **OFFLINE),
        lambda: installed.python(_WRONG, wrong, **OFFLINE),
    )
    yield dict(zip(("adapt", "pretrain", "registries", "wrong"), found, strict=True))
    for trained in found[:2]:
        remove(trained.folder)


@pytest.fixture(scope="module")
def scored(installed, runs, data, pairs):
    """What `grmp score` says with each trained network."""

    def score(name):
        options = ("--format", "json", "--model", runs[name].latest)
        done = installed.run("grmp", "score", data.images, *options, **OFFLINE)
        assert done.returncode == 0, done.stderr
        return {Path(row["image"]).name: row["score"] for row in json.loads(done.stdout)["images"]}

    adapted, pretrained = pairs(lambda: score("adapt"), lambda: score("pretrain"))
    return {"adapt": adapted, "pretrain": pretrained}


def test_names_are_found_without_an_import_of_ours(runs, installed):
    found = runs["registries"]
    assert found["before"] == []
    names = {"GRMPAdaptModel", "GRMPPretrainModel", "GRMPIQA", "GRMPShotsDataset", "GRMPTasksDataset"}
    assert found["known"] == dict.fromkeys(names, True)
    assert found["classes"] == {name: name for name in names}
    assert found["elsewhere"] == []
    for path in found["files"].values():
        assert path.startswith(str(installed.prefix))


def test_looking_for_a_name_loads_nothing_heavy(runs):
    assert runs["registries"]["heavy"] == []


def test_few_shot_steps_are_logged(runs):
    log = runs["adapt"].log
    assert [line["iter"] for line in log] == [1, 2, 3, 4]
    assert [line["epoch"] for line in log] == [0, 0, 1, 1]  # eight shots, four at a time
    for line in log:
        assert 0.1 < line["l_quality"] < 5
        assert 0.1 < line["l_semantic"] < 10
        assert 0 < line["angle"] < 180
        assert 0 <= line["projected"] <= 1
        assert "skipped" not in line
    assert any(line["projected"] > 0 for line in log)
    assert len({line["l_quality"] for line in log}) == 4
    assert [line["lr"] for line in log] == pytest.approx([0.05, 0.05, 0.025, 0.025])  # half a cosine


def test_meta_learning_is_logged(runs):
    log = runs["pretrain"].log
    assert [line["iter"] for line in log] == [1, 2, 3, 4]
    for line in log:
        assert 0.1 < line["l_support"] < 5
        assert 0.1 < line["l_query"] < 5
        assert line["lr"] == pytest.approx(1e-3)
    assert len({line["l_support"] for line in log}) == 4
    # An outer step follows every two tasks; the second one starts from the first.
    assert ["moved" in line for line in log] == [False, True, False, True]
    assert 0 < log[1]["moved"] < log[3]["moved"] < 1


@pytest.mark.parametrize("name", ["adapt", "pretrain"])
def test_checkpoints_and_no_pickles_are_written(runs, name):
    trained = runs[name]
    assert trained.folder.parts[-2:] == ("experiments", trained.folder.name)
    assert trained.folder.is_relative_to(sys.prefix)  # beside pyiqa, as its own documentation has it
    models = sorted(path.name for path in (trained.folder / "models").iterdir())
    assert models == ["net_best.safetensors", "net_latest.safetensors"]
    assert list(trained.folder.rglob("*.pth")) == list(trained.folder.rglob("*.state")) == []


def validated(trained):
    """What pyiqa logged in the end: the data set's name, how many images, and the metrics."""
    name, metrics = re.search(r"INFO: Validation (\w+)\n((?:\s+# \w+: .*\n)+)", trained.output).groups()
    count = re.search(rf"Number of val images/folders in {name}: (\d+)", trained.output)[1]
    return name, int(count), {k: float(v) for k, v in re.findall(r"# (\w+): (-?[\d.]+)", metrics)}


def test_validation_at_the_end(runs):
    name, count, metrics = validated(runs["adapt"])
    assert (name, count) == ("rest", 6)  # all but the shots
    assert metrics.keys() == {"srcc", "plcc"}
    name, count, metrics = validated(runs["pretrain"])
    assert (name, count) == ("ratings", 12)
    assert metrics.keys() == {"srcc"}


def changed_tensors(start, trained):
    """Names of the tensors that training changed."""
    from grmp_plugin.network.checkpoint import read_checkpoint

    tensors = read_checkpoint(trained).tensors
    assert tensors.keys() == start.tensors.keys()
    return {name for name, t in tensors.items() if not t.equal(start.tensors[name].to(t.dtype))}, tensors


def test_only_what_learns_is_changed_by_adaptation(runs):
    from grmp_plugin.network.start import starting_checkpoint

    start = starting_checkpoint("grmp_iqa-tiny", 0)
    changed, tensors = changed_tensors(start, runs["adapt"].latest)
    assert changed == {name for name in tensors if name.startswith(ADAPTED)}
    assert len(changed) == 1 + 4 + 2 * 12


def test_checkpoints_record_what_was_learned_from(runs, data):
    from grmp_plugin.data.learned_images import digests_of_files
    from grmp_plugin.network.checkpoint import read_checkpoint
    from grmp_plugin.network.models import find_checkpoint

    before = find_checkpoint("grmp_iqa-tiny").info["learned_from"]
    cases = (("adapt", "ratings", data.images), ("pretrain", "photographs", data.pristine))
    for name, collection, folder in cases:
        record = read_checkpoint(runs[name].latest).info["learned_from"]
        new = set(record[collection].values()) - set(before[collection].values())
        assert new
        assert new <= set(digests_of_files(str(path) for path in folder.iterdir()).values())


def test_only_prompts_are_changed_by_pretraining(runs):
    from grmp_plugin.network.start import starting_checkpoint, with_new_prompts

    start = with_new_prompts(starting_checkpoint("grmp_iqa-tiny", 0), 0)
    changed, tensors = changed_tensors(start, runs["pretrain"].latest)
    assert changed == {name for name in tensors if name.startswith(PROMPTS)}
    assert len(changed) == 7
    # What was logged of the last outer step is what was saved.
    distance = sum((tensors[name] - start.tensors[name]).double().square().sum() for name in changed)
    norm = sum(start.tensors[name].double().square().sum() for name in changed)
    assert (distance / norm).sqrt().item() == pytest.approx(runs["pretrain"].log[-1]["moved"], rel=1e-3)


def test_what_was_trained_scores(runs, scored):
    for scores in scored.values():
        assert set(scores) == {f"{number}.png" for number in range(14)}
        assert all(0 < score < 1 for score in scores.values())
    assert len({score for scores in scored.values() for score in scores.values()}) == 2 * 14


@pytest.mark.parametrize(
    ("name", "shots"),
    [("adapt", 8), ("pretrain", 2)],
)
def test_pyiqa_validates_with_the_scores_that_we_give(runs, scored, data, name, shots):
    """The SRCC that pyiqa logged, from `grmp score`'s numbers of the images that are no shots."""
    from scipy.stats import spearmanr

    from grmp_plugin.data.ratings_file import read_ratings
    from grmp_plugin.data.splits import draw_split

    ratings = read_ratings(data.ratings, images_folder=data.images)
    tested = draw_split(ratings, shots, 0).test
    scores = [scored[name][Path(ratings.images[number]).name] for number in tested]
    expected = spearmanr(scores, ratings.mos[tested])[0]
    assert validated(runs[name])[2]["srcc"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("misspelled", ("datasets: shots: unknown key 'shot'", "Did you mean 'shots'?")),
        ("misspelled-in-val", ("datasets: rest: unknown key 'mosrange'", "Did you mean 'mos_range'?")),
        ("misspelled-task", ("unknown key 'image_per_task'", "Did you mean 'images_per_task'?")),
        ("tasks-as-text", ("datasets: tasks: data: expected a list", "'drawn'")),
        ("lr-as-text", ("train: optim: lr", "text '1e-4'", "write 1.0e-4")),
        ("lr-as-text-meta", ("train: optim: lr", "text '1e-3'")),
        ("pretrain-network", ("pretrain_network", "network: pretrained_model_path")),
        ("other-network", ("GRMPIQA, not CNNIQA",)),
        ("protocol", ("paper or released, not 'own'",)),
        ("two-tasks", ("batch_size_per_gpu must be 1 (task), not 2",)),
        ("larger-batch", ("batch_size_per_gpu: at most 8", "not 50", "no step")),
        ("no-model", ("model is missing",)),
        ("no-range", ("mos_range", "100")),
        ("misspelled-strength", ("train: unknown key 'strenght'", "Did you mean 'strength'?")),
        ("misspelled-network", ("network: unknown key 'mdel'", "Did you mean 'model'?")),
        ("no-optimizer", ("train: optim", "SGDD")),
        ("scheduler", ("train: scheduler",)),
        ("two-gpus", ("one GPU, not 2", "num_gpu: 1")),
        ("two-gpus-meta", ("one GPU, not 2", "num_gpu: 1")),
        ("torchrun", ("runs in one process", "without torchrun")),
        ("torchrun-meta", ("runs in one process", "without torchrun")),
        ("chained", ("protocol: released", "grmp pretrain")),
        ("no-tasks", ("tasks_per_step: must be positive, not 0",)),
    ],
)
def test_wrong_options_are_explained(runs, name, said):
    kind, message = runs["wrong"][name]
    assert kind == "grmp_plugin.errors.ConfigError", message
    for words in said:
        assert words in message


def test_every_wrong_option_is_tested(runs, data):
    assert set(runs["wrong"]) == set(wrong_options(data))
