"""The installed wheel as a citizen of pyiqa, each way in from a fresh interpreter."""

import json
import re
import statistics

import pytest

# Nearly everything that can be asked of one process, as `import pyiqa` alone takes seconds.
_TOUR = """
from pathlib import Path
import pyiqa, grmp_plugin, torch

result["file"] = grmp_plugin.__file__
result["models"] = pyiqa.list_models("NR")
result["all models"] = pyiqa.list_models()

metric = pyiqa.create_metric("grmp_iqa-tiny")
result["lower_better"], result["score_range"] = metric.lower_better, metric.score_range
result["mode"] = metric.metric_mode
paths = sorted(Path(sys.argv[1]).iterdir())
result["scores"] = {path.name: metric(str(path)).item() for path in paths}

torch.manual_seed(0)
result["tensors"] = []
for height, width in ((1, 1), (3, 50), (112, 112), (300, 451), (760, 500)):
    grey = torch.rand(2, 1, height, width)
    one, three = metric(grey), metric(grey.expand(-1, 3, -1, -1))
    result["tensors"].append([list(one.shape), one.flatten().tolist(), three.flatten().tolist()])

loss = pyiqa.create_metric("grmp_iqa-tiny", as_loss=True)
image = torch.rand(2, 3, 90, 130, requires_grad=True)
result["gradients"] = []
for _ in range(2):
    image.grad = None
    value = loss(image)
    value.backward()
    result["gradients"].append({
        "shape": list(value.shape), "finite": image.grad.isfinite().all().item(),
        "each": image.grad.abs().sum(dim=(1, 2, 3)).tolist(), "sum": image.grad.double().sum().item(),
    })
result["loss"], result["as metric"] = value.item(), metric(image.detach()).mean().item()

mine = pyiqa.create_metric("grmp_iqa", pretrained_model_path=sys.argv[2])
result["mine"] = {path.name: mine(str(path)).item() for path in paths[:3]}
"""

_PLUGIN_FIRST = """
import grmp_plugin
result["heavy"] = [name for name in ("torch", "pyiqa", "open_clip", "torchvision") if name in sys.modules]
result["file"] = grmp_plugin.__file__
import pyiqa
result["models"] = pyiqa.list_models("NR")
result["made"] = pyiqa.create_metric("grmp_iqa-tiny").metric_name
"""

_ENTRY_POINT_ONLY = """
import pyiqa
from pyiqa.utils.registry import ARCH_REGISTRY
result["before"] = "grmp_plugin" in sys.modules
found = ARCH_REGISTRY.get("GRMPIQA")
result["class"], result["known"] = found.__name__, "GRMPIQA" in ARCH_REGISTRY
result["file"] = sys.modules[found.__module__].__file__
from importlib.metadata import distribution
result["distribution"] = str(distribution("grmp-iqa").locate_file(""))
"""


@pytest.fixture(scope="module")
def tour(installed, photographs, contrary_checkpoint, pairs):
    """What `_TOUR` found, and beside it what `grmp score` says of the same files."""
    found, scored = pairs(
        lambda: installed.python(
            _TOUR, photographs, contrary_checkpoint, flags=("-W", "error::RuntimeWarning")
        ),
        lambda: installed.run("grmp", "score", photographs, "--format", "json"),
    )
    assert scored.returncode == 0, scored.stderr
    return found | {"grmp score": json.loads(scored.stdout)}


@pytest.fixture(scope="module")
def ways_in(installed, photographs, pairs):
    """The other import order; the entry point alone; pyiqa's own command."""
    return pairs(
        lambda: installed.python(_PLUGIN_FIRST),
        lambda: installed.python(_ENTRY_POINT_ONLY, flags=("-W", "error::RuntimeWarning")),
        lambda: installed.run("grmp", "pyiqa", "grmp_iqa-tiny", "-t", photographs),
        lambda: installed.run("grmp", "pyiqa"),
    )


def test_the_wheel_is_used_and_not_the_repository(tour, ways_in, installed):
    plugin_first, entry_point, _, _ = ways_in
    for path in (tour["file"], plugin_first["file"], entry_point["file"], entry_point["distribution"]):
        assert path.startswith(str(installed.prefix))


def test_pyiqa_first_then_the_plugin(tour):
    assert {"grmp_iqa", "grmp_iqa-tiny"} <= set(tour["models"])
    assert {"grmp_iqa", "grmp_iqa-tiny"} <= set(tour["all models"])


def test_the_plugin_first_then_pyiqa(ways_in):
    assert {"grmp_iqa", "grmp_iqa-tiny"} <= set(ways_in[0]["models"])
    assert ways_in[0]["made"] == "grmp_iqa-tiny"


def test_importing_the_plugin_alone_is_light(ways_in):
    assert ways_in[0]["heavy"] == []


def test_the_entry_point_loads_by_itself(ways_in):
    found = ways_in[1]
    assert not found["before"]
    assert found["class"] == "GRMPIQA"
    assert found["known"]


def test_metadata(tour):
    assert tour["lower_better"] is False
    assert tour["score_range"].replace(" ", "") == "0,1"
    assert tour["mode"] == "NR"


def test_scores_by_path(tour):
    assert len(tour["scores"]) == 8
    assert all(0 <= score <= 1 for score in tour["scores"].values())
    assert len(set(tour["scores"].values())) == 8


def test_scores_by_tensor_of_one_and_three_channels(tour):
    for shape, one, three in tour["tensors"]:
        assert shape == [2, 1]
        assert one == pytest.approx(three, abs=1e-6)
        assert all(0 <= score <= 1 for score in one)


def test_as_loss_gives_gradients_twice(tour):
    first, second = tour["gradients"]
    for gradient in (first, second):
        assert gradient["shape"] == []
        assert gradient["finite"]
        assert min(gradient["each"]) > 0  # every image of the batch gets one
    assert first["each"] == pytest.approx(second["each"], rel=1e-4)
    assert tour["loss"] == pytest.approx(tour["as metric"], abs=1e-5)


def test_own_checkpoint_by_pyiqas_keyword(tour):
    assert len(tour["mine"]) == 3
    for name, score in tour["mine"].items():
        assert score == pytest.approx(1 - tour["scores"][name], abs=1e-5)


def test_grmp_score_and_pyiqa_agree(tour):
    rows = tour["grmp score"]["images"]
    assert len(rows) == len(tour["scores"])
    for row in rows:
        name = row["image"].rpartition("/")[2]
        assert row["score"] == pytest.approx(tour["scores"][name], abs=1e-6), name


def test_grmp_pyiqa_scores_a_folder(tour, ways_in):
    done = ways_in[2]
    assert done.returncode == 0, done.stderr
    # pyiqa prints a dictionary: {'grmp_iqa-tiny': {'mean': np.float64(0.5)}}
    mean = re.search(r"'mean': (?:np\.float64\()?([0-9.]+)", done.stdout)
    assert mean, done.stdout
    assert float(mean[1]) == pytest.approx(statistics.mean(tour["scores"].values()), abs=1e-5)
    assert "Traceback" not in done.stderr


def test_grmp_pyiqa_without_arguments_says_what_to_type(ways_in):
    done = ways_in[3]
    assert "Traceback" not in done.stderr
    assert "grmp pyiqa" in done.stdout + done.stderr


def test_usage_errors_of_grmp_pyiqa(installed, pairs):
    unknown, nothing_to_score = pairs(
        lambda: installed.run("grmp", "pyiqa", "grmp_iqa-tini", "-t", "."),
        lambda: installed.run("grmp", "pyiqa", "grmp_iqa-tiny"),
    )
    assert unknown.returncode == nothing_to_score.returncode == 2
    assert "'grmp_iqa-tini'" in unknown.stderr
    assert "-t" in nothing_to_score.stderr
    assert "Traceback" not in unknown.stderr + nothing_to_score.stderr
