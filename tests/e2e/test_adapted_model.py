"""A model adapted by the installed command scores the same everywhere; the demo needs no data."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.statistics.correlation import srcc
from grmp_plugin.synthetic.distortions import distort

_PYIQA = """
import pyiqa, grmp_plugin
metric = pyiqa.create_metric("grmp_iqa", pretrained_model_path=sys.argv[1])
result["scores"] = {path: metric(path).item() for path in sys.argv[2:]}
"""


@pytest.fixture(scope="module")
def rated(tmp_path_factory, photographs):
    """A folder with 24 versions of four photographs, and ratings.csv."""
    folder = tmp_path_factory.mktemp("rated")
    rows = []
    for name in ("astronaut.jpg", "chelsea.png", "coffee.png", "rocket.jpg"):
        pixels = np.asarray(Image.open(photographs / name).convert("RGB"))[:200, :200]
        for kind in ("jpeg", "white_noise"):
            for level in (1, 3, 5):
                file = f"{name.split('.')[0]}_{kind}_{level}.png"
                Image.fromarray(distort(pixels, kind, level, 0)).save(folder / file)
                rows.append((file, 100 - 15 * level - (10 if kind == "jpeg" else 0), name))
    with (folder / "ratings.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("image", "mos", "reference"), *rows])
    (folder / "short.yml").write_text(
        "training: {method: prompts, shots: 8, epochs: 5, learning_rate: 0.1, views: 4}\n"
    )
    return folder


@pytest.fixture(scope="module")
def adapted(installed, rated):
    """What `grmp adapt` printed, and the model that it wrote."""
    model = rated / "mine.safetensors"
    arguments = ("--config", rated / "short.yml", "--mos-range", "0", "100", "--format", "json")
    done = installed.run("grmp", "adapt", rated / "ratings.csv", *arguments, "--out", model)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), model


@pytest.fixture(scope="module")
def scores(installed, rated, adapted, pairs):
    """Scores of the images by the command, and by pyiqa."""
    images = sorted(str(path) for path in rated.glob("*.png"))
    scored, by_pyiqa = pairs(
        lambda: installed.run("grmp", "score", *images, "--model", adapted[1], "--format", "json"),
        lambda: installed.python(_PYIQA, adapted[1], *images),
    )
    assert scored.returncode == 0, scored.stderr
    return {row["image"]: row["score"] for row in json.loads(scored.stdout)["images"]}, by_pyiqa["scores"]


def test_the_command_and_pyiqa_agree(scores):
    by_command, by_pyiqa = scores
    assert len(by_command) == 24
    for image, score in by_command.items():
        assert score == pytest.approx(by_pyiqa[image], abs=1e-6)


def test_the_reported_numbers_are_those_of_the_written_model(scores, adapted, rated):
    document, _ = adapted
    with (rated / "ratings.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    # Half of the references are tested, with all of their images.
    assert document["after"]["images"] == 12
    by_command = scores[0]
    candidates = []
    names = sorted({row["reference"] for row in rows})
    for first in names:
        for second in names[names.index(first) + 1 :]:
            tested = [row for row in rows if row["reference"] in (first, second)]
            found = [100 * by_command[str(rated / row["image"])] for row in tested]
            mos = [float(row["mos"]) for row in tested]
            rmse = float(np.sqrt(np.mean((np.array(found) - mos) ** 2)))
            candidates.append((srcc(found, mos), rmse))
    expected = (document["after"]["srcc"], document["after"]["rmse"])
    # RMSE to 1e-4 of a scale of 100: scores agree to 1e-6.
    assert any(c == pytest.approx(expected, abs=1e-4) for c in candidates), (expected, candidates)


def test_predicted_mos(installed, rated, adapted, scores):
    image = str(rated / "chelsea_jpeg_3.png")
    done = installed.run("grmp", "score", image, "--model", adapted[1], "--scale", "mos", "--format", "json")
    document = json.loads(done.stdout)
    assert document["images"][0]["score"] == pytest.approx(100 * scores[0][image], abs=1e-4)
    assert document["run"]["scale"] == {
        "low": 0.0,
        "high": 100.0,
        "lower_better": False,
        "source": "declared",
    }


def test_a_model_without_ratings_has_no_scale(installed, rated):
    image = rated / "chelsea_jpeg_3.png"
    refused = installed.run("grmp", "score", image, "--scale", "mos")
    assert refused.returncode == 2
    assert "--mos-range" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_demo_draws_its_pictures_once_and_learns_from_them(installed, rated, tmp_path):
    """`grmp adapt` with no ratings at all, from a folder without anything."""
    (tmp_path / "short.yml").write_text("training: {method: prompts, epochs: 2, views: 2, test_share: 0.1}\n")
    arguments = ("grmp", "adapt", "--shots", "50", "--config", tmp_path / "short.yml", "--format", "json")
    done = installed.run(*arguments, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stderr
    document = json.loads(done.stdout)
    assert document["run"]["images"] == 720
    assert document["splits"][0]["shots"] == 50
    assert document["splits"][0]["mos_scale"]["low"] == 1.0
    folder = tmp_path / "grmp-iqa" / "demo-2"
    assert len(list(folder.glob("*.png"))) == 720
    with (folder / "ratings.csv").open() as stream:
        ratings = {row["image"]: float(row["mos"]) for row in csv.DictReader(stream)}
    # Pinned: a change of pictures or ratings needs a new version number of the demo.
    assert ratings["animal_00.png"] == pytest.approx(4.2667, abs=1e-4)
    assert np.mean(list(ratings.values())) == pytest.approx(3.1789, abs=1e-4)


def test_comparison_with_an_adapted_model_from_the_wheel(installed, rated, adapted, scores, tmp_path):
    """The installed command accepts the file, and its package contains the page templates."""
    done = installed.run(
        *("grmp", "compare", rated / "ratings.csv", "--metrics", f"grmp_iqa-tiny,{adapted[1]},piqe"),
        *("--report", tmp_path / "page.html", "--scores", tmp_path / "scores.json", "--format", "json"),
        XDG_CACHE_HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    metrics = {row["metric"]: row for row in json.loads(done.stdout)["metrics"]}
    assert set(metrics) == {"grmp_iqa-tiny", str(adapted[1]), "piqe"}
    assert metrics[str(adapted[1])]["srcc"] is not None
    assert metrics[str(adapted[1])]["learned_images"] >= adapted[0]["splits"][0]["shots"]
    by_command, _ = scores
    for row in json.loads((tmp_path / "scores.json").read_text())["images"]:
        assert row[str(adapted[1])] == pytest.approx(by_command[row["image"]], abs=1e-6)
    assert "mine.safetensors" in (tmp_path / "page.html").read_text(encoding="utf-8")
