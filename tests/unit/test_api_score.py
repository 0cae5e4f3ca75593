"""`grmp_plugin.score` as a script or a notebook uses it."""

import csv
import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.api.images import find_images
from grmp_plugin.api.score import Scoring
from grmp_plugin.api.scores import Scores
from grmp_plugin.errors import CheckpointError, GRMPError, InputError
from grmp_plugin.network.checkpoint import write_checkpoint

COUNT = 5


def noise(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4 + seed, 5, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height)))


@pytest.fixture(scope="module")
def arrays() -> list[np.ndarray]:
    return [noise(seed) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, arrays: list[np.ndarray]) -> Path:
    """`1.png` ... `5.png`, one more in a folder inside, and beside it a file that is no image."""
    path = tmp_path_factory.mktemp("photos")
    for number, pixels in enumerate(arrays, 1):
        Image.fromarray(pixels).save(path / f"{number}.png")
    (path / "inner").mkdir()
    Image.fromarray(noise(9)).save(path / "inner" / "6.png")
    (path / "inner" / "text.png").write_text("no image")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, small_checkpoint) -> Path:
    """A small checkpoint file that was adapted to ratings from 1 (good) to 5 (bad)."""
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    scale = {"low": 1.0, "high": 5.0, "lower_better": True, "source": "declared"}
    checkpoint = small_checkpoint(kind="crops")
    write_checkpoint(dataclasses.replace(checkpoint, info={**checkpoint.info, "mos_scale": scale}), path)
    return path


@pytest.fixture(scope="module")
def scores(folder: Path, model: Path) -> Scores:
    return grmp.score(folder, model, device="cpu")


def test_a_folder_gives_a_row_for_each_image(scores: Scores, folder: Path, model: Path) -> None:
    names = [*(f"{number}.png" for number in range(1, 6)), "inner/6.png", "inner/text.png"]
    assert scores.images == tuple(f"{folder}/{name}" for name in names)
    assert len(scores) == 7
    assert scores.scores.dtype == np.float64
    assert np.isnan(scores.scores).tolist() == [False] * 6 + [True]
    assert ((scores.scores[:6] > 0) & (scores.scores[:6] < 1)).all()
    assert len(set(scores.scores[:6])) == 6
    assert scores.rows[-1]["score"] is None
    assert "not an image" in scores.rows[-1]["error"]
    assert scores.model == str(model)
    assert repr(scores).startswith("<Scores of 7 images by ")


def test_summary(scores: Scores) -> None:
    known = scores.scores[:6]
    assert scores.failed == 1
    assert scores.median == pytest.approx(np.median(known))
    assert scores.best is not None
    assert scores.worst is not None
    assert (scores.best.image, scores.best.score) == (scores.images[known.argmax()], known.max())
    assert (scores.worst.image, scores.worst.score) == (scores.images[known.argmin()], known.min())


def test_document(scores: Scores, model: Path) -> None:
    document = json.loads(json.dumps(scores.to_dict()))
    assert list(document) == ["run", "images"]
    assert [list(row) for row in document["images"]] == [["image", "score", "error"]] * 7
    run = document["run"]
    assert run["command"] == "score"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", run["date"])
    assert (run["model"], run["backbone"], run["scale"]) == (str(model), "small", "quality")
    assert (run["device"], run["precision"], run["seed"]) == ("cpu", "fp32", None)
    assert re.fullmatch("[0-9a-f]{64}", run["weights_sha256"])
    assert (run["images"], run["failed"], run["median"]) == (7, 1, scores.median)
    assert run["best"] == {"image": scores.best.image, "score": scores.best.score}
    assert run["seconds"] > 0
    assert {"grmp-iqa", "torch", "python"} <= run["versions"].keys()
    assert "interrupted" not in run


def test_files_of_every_format(scores: Scores, tmp_path: Path) -> None:
    expected = [dict(row) for row in scores.rows]
    for suffix in ("csv", "json", "jsonl", "parquet"):
        assert scores.write(tmp_path / f"scores.{suffix}") == tmp_path / f"scores.{suffix}"
    assert json.loads((tmp_path / "scores.json").read_text()) == json.loads(json.dumps(scores.to_dict()))
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    table = pyarrow.parquet.read_table(tmp_path / "scores.parquet")
    assert table.to_pylist() == expected
    assert json.loads(table.schema.metadata[b"run"])["command"] == "score"
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [row["image"] for row in expected]
    assert [float(row["score"]) for row in rows[:6]] == [row["score"] for row in expected[:6]]
    assert (rows[6]["score"], rows[6]["error"]) == ("", expected[6]["error"])


def test_data_frame(scores: Scores) -> None:
    frame = scores.to_pandas()
    assert list(frame.columns) == ["image", "score", "error"]
    assert frame["score"].tolist()[:6] == scores.scores[:6].tolist()
    assert frame["score"].isna().sum() == 1


def test_notebook_table(model: Path, tmp_path: Path) -> None:
    (tmp_path / "<b>.png").write_text("no image")
    Image.fromarray(noise(1)).save(tmp_path / "a.png")
    table = grmp.score(tmp_path, model, device="cpu")._repr_html_()
    assert table.count("<tr>") == 3
    assert "<th>score</th>" in table
    assert "&lt;b&gt;.png" in table
    assert re.search(r"<td>0\.\d{4}</td>", table)


def test_arrays_and_pillow_images_score_like_their_files(
    scores: Scores, arrays: list[np.ndarray], folder: Path, model: Path
) -> None:
    with Image.open(folder / "2.png") as opened:
        given = [arrays[0], opened, Image.fromarray(arrays[2]), arrays[3][:, :, ::-1][:, :, ::-1]]
        found = grmp.score(given, model, device="cpu")
    assert found.images == ("images[0]", f"{folder}/2.png", "images[2]", "images[3]")
    assert found.scores == pytest.approx(scores.scores[:4], abs=1e-6)


def test_one_array_and_one_pillow_image(scores: Scores, arrays: list[np.ndarray], model: Path) -> None:
    frozen = arrays[0].copy()
    frozen.flags.writeable = False
    for image in (frozen, Image.fromarray(arrays[0])):
        found = grmp.score(image, model, device="cpu")
        assert found.images == ("images[0]",)
        assert found.scores == pytest.approx(scores.scores[:1], abs=1e-6)


def test_pillow_images_are_shown_as_files_are(model: Path, tmp_path: Path) -> None:
    picture = Image.fromarray(noise(3))
    picture.putalpha(100)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(tmp_path / "alpha.png", exif=turned)
    Image.fromarray(np.arange(60 * 80, dtype=np.uint16).reshape(60, 80) * 13).save(tmp_path / "grey16.png")
    for name in ("alpha.png", "grey16.png"):
        with Image.open(tmp_path / name) as opened:
            found = grmp.score([tmp_path / name, opened], model, device="cpu")
        assert found.images == (str(tmp_path / name), "images[1]")
        assert found.scores[0] == found.scores[1]


def test_a_pillow_image_that_cannot_be_loaded_has_a_row(folder: Path, model: Path, tmp_path: Path) -> None:
    content = (folder / "1.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "cut.png") as opened:
        found = grmp.score([opened, folder / "1.png"], model, device="cpu", pixel_limit=60 * 80)
    assert found.failed == 1
    assert "truncated" in str(found.results[0].error)
    with Image.open(folder / "1.png") as opened:
        small = grmp.score(opened, model, device="cpu", pixel_limit=100)
    assert "above the limit" in str(small.results[0].error)


def test_mixed_images_keep_their_order(arrays: list[np.ndarray], folder: Path) -> None:
    given = [arrays[0], folder / "inner", str(folder / "3.png"), arrays[1], folder / "3.png", "gone.png"]
    names = [source.name for source in find_images(given).sources]
    inner = [f"{folder}/inner/6.png", f"{folder}/inner/text.png"]
    assert names == ["images[0]", *inner, f"{folder}/3.png", "images[3]", "gone.png"]
    flat = find_images([folder], recursive=False)
    assert [Path(source.name).name for source in flat.sources] == [f"{number}.png" for number in range(1, 6)]
    pattern = find_images(f"{folder}/[12].png")
    assert [Path(source.name).name for source in pattern.sources] == ["1.png", "2.png"]
    column = find_images(np.array([f"{folder}/1.png", f"{folder}/2.png"], dtype=object))
    assert [source.name for source in column.sources] == [f"{folder}/1.png", f"{folder}/2.png"]


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([], "no images given"),
        (5, "found int"),
        ([np.zeros((4, 4), np.uint8)], r"images\[0\]: .*found an array \(4, 4\) of uint8"),
        (np.zeros((4, 4, 3)), r"images\[0\]: .*of float64"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (["a.png", None], r"images\[1\]: .*NoneType"),
    ],
)
def test_what_is_no_image_is_refused(images, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        grmp.score(images)
    assert caught.value.argument == "images"


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"scale": "stars"}, "scale"),
        ({"mos_range": (1, 5)}, "mos_range"),
        ({"scale": "mos", "mos_range": (5, 1)}, "mos_range"),
        ({"device": "tpu"}, "device"),
        ({"device": "cuda:99"}, "device"),
        ({"precision": "fp8", "device": "cpu"}, "precision"),
        ({"batch_size": 0}, "batch_size"),
        ({"pixel_limit": 0}, "pixel_limit"),
        ({"batch_size": "4"}, "batch_size"),
        ({"pixel_limit": 1.5}, "pixel_limit"),
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"progress": "yes"}, "progress"),
        ({"images": "none.csv"}, "images"),
    ],
)
def test_errors_name_their_argument(folder: Path, model: Path, options: dict, argument: str) -> None:
    with pytest.raises(InputError) as caught:
        grmp.score(**{"images": folder, "model": model, **options})
    assert caught.value.argument == argument
    assert str(caught.value).startswith(f"{argument}: ")
    assert "--" not in str(caught.value)


def test_models_that_do_not_exist(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GRMPError, match="Did you mean 'grmp_iqa-tiny'"):
        grmp.score(folder, "grmp_iqa-tini")
    (tmp_path / "bad.pt").write_text("text")
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        grmp.score(folder, tmp_path / "bad.pt")


# Predicted MOS, and order


def test_predicted_mos_on_the_models_own_scale(scores: Scores, folder: Path, model: Path) -> None:
    found = grmp.score(folder, model, device="cpu", scale="mos")
    assert found.scores == pytest.approx(5 - 4 * scores.scores, nan_ok=True, abs=1e-6)
    assert found.best.image == scores.best.image
    assert found.best.score < found.worst.score  # lower is better
    assert found.run.details["scale"]["lower_better"]
    assert found.mos_scale is not None
    declared = grmp.score(folder, model, device="cpu", scale="mos", mos_range=(0, 100))
    assert declared.scores == pytest.approx(100 - 100 * scores.scores, nan_ok=True, abs=1e-4)


def test_mos_of_a_model_without_a_scale(folder: Path, small_checkpoint) -> None:
    checkpoint = small_checkpoint()
    with pytest.raises(InputError, match="does not record the scale") as caught:
        grmp.score(folder, checkpoint, scale="mos")
    assert caught.value.see == ("mos_range",)
    found = grmp.score(folder, checkpoint, device="cpu", scale="mos", mos_range=(1, 5))
    assert found.best.score > found.worst.score


@pytest.mark.parametrize("scale", ["quality", "mos"])
def test_orders(folder: Path, model: Path, scale: str) -> None:
    found = grmp.score([folder / "inner", folder], model, device="cpu", scale=scale)
    assert found.sorted("input") is found
    names = [Path(image).name for image in found.sorted("name").images]
    assert names == sorted(names)
    sign = 1 if scale == "quality" else -1
    best, worst = (sign * found.sorted(order).scores for order in ("best", "worst"))
    assert math.isnan(best[-1])
    assert math.isnan(worst[-1])
    assert (np.diff(best[:-1]) < 0).all()
    assert (np.diff(worst[:-1]) > 0).all()
    assert found.sorted("best").best == found.best
    with pytest.raises(InputError, match="random") as caught:
        found.sorted("random")
    assert caught.value.argument == "order"


# Models in memory


def test_networks_and_results_as_models(scores: Scores, folder: Path, model: Path) -> None:
    network = grmp.load(model)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    class Adapted:
        checkpoint = dataclasses.replace(network_checkpoint(model), source="adapted")

    for given in (network, network_checkpoint(model), Adapted()):
        found = grmp.score(folder, given, device="cpu", precision="bf16")
        assert found.scores[:6] == pytest.approx(scores.scores[:6], abs=0.02)
        assert found.run.details["weights_sha256"] is None
    assert found.model == "adapted"
    # The caller's network is neither cast nor frozen.
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == before[name].dtype
    assert all(parameter.requires_grad for parameter in network.parameters())


def network_checkpoint(model: Path):
    from grmp_plugin.network.checkpoint import read_checkpoint

    return read_checkpoint(model)


# Pages and maps


def test_report_with_maps(scores: Scores, tmp_path: Path) -> None:
    seen: list[grmp.Progress] = []
    maps = scores.draw_maps(tmp_path / "maps", progress=seen.append)
    assert [one.image for one in maps] == list(scores.images[:6])
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == [
        f"{n}.map.png" for n in range(1, 7)
    ]
    assert [(one.stage, one.done, one.total) for one in seen] == [("drawing maps", n, 6) for n in range(1, 7)]
    page = scores.report(tmp_path / "page.html", maps=maps).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 12
    assert page.count("Quality map of") == 6
    assert scores.run.date[:10] in page
    assert scores.run.date[11:16] in page
    plain = scores.report(tmp_path / "plain.html").read_text(encoding="utf-8")
    assert plain.count("data:image/jpeg;base64,") == 6


def test_report_of_images_in_memory(arrays: list[np.ndarray], model: Path, tmp_path: Path) -> None:
    found = grmp.score([arrays[0], Image.fromarray(arrays[1])], model, device="cpu")
    maps = found.draw_maps(tmp_path / "maps")
    assert [one.path.name for one in maps] == ["images[0].map.png", "images[1].map.png"]
    page = found.report(tmp_path / "page.html", maps=maps).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 4
    assert "images[0]" in page


def test_an_image_that_has_gone_is_shown_as_the_reason(arrays, model: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        Image.fromarray(arrays[number]).save(tmp_path / f"{number}.png")
    found = grmp.score(tmp_path, model, device="cpu")
    (tmp_path / "1.png").unlink()
    first, second = found.draw_maps(tmp_path / "maps")
    assert (first.path, first.error) == (None, "no such file")
    assert second.error is None
    page = found.report(tmp_path / "page.html", maps=[first, second]).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2
    assert "no picture: no such file" in page


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda scores, path: scores.report(path / "page.pdf"), "path"),
        (lambda scores, path: scores.report(path / "gone" / "page.html"), "path"),
        (lambda scores, path: scores.write(path / "scores.xls"), "path"),
        (lambda scores, path: scores.draw_maps(path / "file"), "folder"),
    ],
)
def test_places_that_cannot_be_written(scores: Scores, tmp_path: Path, call, argument: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        call(scores, tmp_path)
    assert caught.value.argument == argument


# Rows as they come


def test_progress(folder: Path, model: Path, capfd) -> None:
    seen: list[grmp.Progress] = []
    grmp.score(folder, model, device="cpu", progress=seen.append)
    assert [(one.stage, one.done, one.total) for one in seen] == [("scoring", n, 7) for n in range(1, 8)]
    assert capfd.readouterr() == ("", "")  # silent unless asked
    grmp.score(folder, model, device="cpu", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "7/7" in err


def test_a_run_that_stops_early_keeps_its_rows(scores: Scores, folder: Path, model: Path) -> None:
    scoring = Scoring(find_images(folder), model, device="cpu")
    assert (scoring.done, scoring.total) == (0, 7)
    rows = scoring.rows()
    first = [next(rows) for _ in range(3)]
    rows.close()
    part = scoring.scores()
    assert part.results == tuple(first)
    assert part.images == scores.images[:3]
    assert part.run.to_dict()["interrupted"] is True
    assert part.run.to_dict()["images"] == 3
    assert Scoring(find_images(folder), model, device="cpu").scores().median is None


# Imports


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    ).stdout


def test_import_is_quick_and_light() -> None:
    code = (
        "import sys, time; started = time.process_time(); import grmp_plugin\n"
        "heavy = {'torch', 'pyiqa', 'numpy', 'PIL', 'pandas', 'rich', 'typer'} & set(sys.modules)\n"
        "print(time.process_time() - started, *heavy)"
    )
    runs = [_python(code).split() for _ in range(3)]
    assert [run[1:] for run in runs] == [[]] * 3
    assert min(float(run[0]) for run in runs) < 0.1


def test_wrong_images_are_refused_without_torch() -> None:
    code = (
        "import sys, grmp_plugin\n"
        "try: grmp_plugin.score('no such folder/*.png')\n"
        "except grmp_plugin.GRMPError as error: print('torch' in sys.modules, error)"
    )
    assert _python(code).startswith("False 'no such folder/*.png': no such file")
