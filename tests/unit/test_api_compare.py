"""`grmp_plugin.compare` on small images: ratings or images alone, files, report, notes and errors."""

import csv
import json
from dataclasses import dataclass

import numpy as np
import pandas
import pytest
from PIL import Image, ImageFilter
from scipy import stats
from typer.testing import CliRunner

from grmp_plugin.api.compare import ComparisonInterrupted, check_maps, compare
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.errors import InputError
from grmp_plugin.evaluation import metrics as metrics_module
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.tables import json_text


@dataclass
class Adaptation:
    """A result that holds a network, like that of `adapt`."""

    checkpoint: Checkpoint


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of scores for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures in `originals/`, four blurred versions of each in `photos/`, and `ratings.csv`."""
    folder = tmp_path_factory.mktemp("rated")
    (folder / "originals").mkdir()
    (folder / "photos").mkdir()
    generator, rows = np.random.default_rng(0), []
    for name in ("a", "b", "c"):
        # Noise of several scales, like the texture of a photograph.
        layers = [
            Image.fromarray(generator.integers(0, 256, (3 * 2**k, 4 * 2**k, 3), np.uint8)) for k in range(6)
        ]
        resized = [np.asarray(layer.resize((128, 96), Image.Resampling.BICUBIC), float) for layer in layers]
        picture = Image.fromarray(np.mean(resized, axis=0).astype(np.uint8))
        picture.save(folder / "originals" / f"{name}.png")
        for level in range(1, 5):
            picture.filter(ImageFilter.GaussianBlur(level)).save(folder / "photos" / f"{name}_{level}.png")
            rows.append(
                (f"photos/{name}_{level}.png", f"{name}.png", 5 - level + 0.1 * "abc".index(name), 0.4)
            )
    with (folder / "ratings.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "ref", "mos", "std"), *rows])
    return folder


@pytest.fixture
def ratings(folder):
    return folder / "ratings.csv"


def rows_by_metric(result):
    return {row["metric"]: row for row in result.rows}


def test_ratings_file(ratings, folder):
    result = compare(ratings, ["piqe", "psnr"], references=folder / "originals", raters=12)
    assert result.columns[0] == "metric"
    assert len(result) == 2
    scores = result.image_scores().to_pandas()
    rows = rows_by_metric(result)
    for name, sign in (("piqe", -1), ("psnr", 1)):
        expected = stats.spearmanr(sign * scores[name], scores["mos"]).statistic
        assert rows[name]["srcc"] == pytest.approx(expected)
        assert rows[name]["images"] == 12
    assert rows["psnr"]["reference"]
    assert rows["piqe"]["lower_better"]
    assert rows["psnr"]["better_worse"] > 0.5
    assert result.complete
    assert result.failure is None
    assert result.left_out_images == []
    assert result.ratings.source == str(ratings)
    run = result.run.to_dict()
    assert run["command"] == "compare"
    assert run["images_from"] == str(ratings)
    assert run["ratings"]["raters"] == 12
    assert run["ratings"]["resampled"].startswith("3 references")
    assert run["device"] == "cpu"
    assert "T" in run["date"]


def test_data_frame_and_ratings_that_were_read_before(ratings, folder):
    frame = pandas.read_csv(ratings)
    from_frame = compare(frame, "entropy", images_folder=folder)
    from_ratings = compare(read_ratings(ratings), "entropy")
    from_file = compare(str(ratings), "entropy")
    assert from_frame.run.details["images_from"] == "data frame"
    assert from_ratings.run.details["images_from"] == str(ratings)
    srcc = [result.rows[0]["srcc"] for result in (from_frame, from_ratings, from_file)]
    assert srcc[0] == srcc[1] == srcc[2]


def test_images_alone(folder):
    result = compare([folder / "photos", str(folder / "originals/*.png")], "piqe, entropy")
    assert result.ratings is None
    rows = rows_by_metric(result)
    assert rows["piqe"]["srcc_with_entropy"] == rows["entropy"]["srcc_with_piqe"]
    assert "srcc" not in result.columns
    assert len(result.image_scores()) == 15
    document = result.to_dict()
    assert [pair["first"] for pair in document["pairs"]] == ["piqe"]
    assert len(document["disputed"]) == 15


def test_objects_that_hold_a_network(ratings, small_checkpoint, small_network):
    adapted, again = (Adaptation(small_checkpoint("vit", seed=seed)) for seed in (0, 1))
    result = compare(ratings, ["entropy", adapted, again, small_network("vit"), small_checkpoint("vit")])
    assert [metric.metric for metric in result.comparison.metrics] == [
        "entropy",
        "adaptation",
        "adaptation-2",
        "network",
        "network-2",
    ]
    scores = result.image_scores().to_pandas()
    assert (scores["adaptation"] == scores["network"]).all()
    assert (scores["adaptation"] != scores["adaptation-2"]).any()
    assert compare(ratings, adapted).rows[0]["metric"] == "adaptation"


def test_a_failing_metric_is_a_row_and_a_note(ratings, monkeypatch, small_checkpoint):
    def fail(name, **options):
        raise RuntimeError("needs more memory")

    monkeypatch.setattr("pyiqa.create_metric", fail)
    result = compare(ratings, ["piqe", small_checkpoint("vit")])
    assert [row["error"] for row in result.rows] == [None, "RuntimeError: needs more memory"]
    assert any(str(note) == "piqe is left out: RuntimeError: needs more memory" for note in result.notes)
    assert not result.complete
    assert result.failure is None
    assert compare(ratings, "piqe").failure == "no metric worked"


def test_images_that_cannot_be_read(folder, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    result = compare([folder / "photos", broken], "piqe")
    assert [image for image, _ in result.left_out_images] == [str(broken)]
    assert not result.complete
    assert result.image_scores().rows[-1]["judged"] is False
    assert compare(broken, "piqe").failure == "there is no image to judge metrics on"


def test_notes(ratings, folder):
    result = compare(ratings, ["entropy", "*ssim*"])
    texts = [note.message for note in result.notes]
    assert any("left out: it needs reference images" in text for text in texts)
    unknown = next(note for note in result.notes if "number of raters is unknown" in note.message)
    assert unknown.see == ("raters",)
    reversed_ = compare(ratings, "psnr", references=folder / "originals", lower_better=True)
    negative = next(note for note in reversed_.notes if "correlates negatively" in note.message)
    assert negative.see == ("lower_better",)
    assert reversed_.rows[0]["srcc"] < 0


def test_files_report_and_notebook_table(ratings, tmp_path):
    result = compare(ratings, ["piqe", "entropy"])
    result.write(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        assert [row["metric"] for row in csv.DictReader(file)] == [row["metric"] for row in result.rows]
    result.write(tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text()) == json.loads(json_text(result.to_dict()))
    result.image_scores().write(tmp_path / "scores.parquet")
    scores = pandas.read_parquet(tmp_path / "scores.parquet")
    assert list(scores.columns) == ["image", "mos", "piqe", "entropy", "judged", "learned_by", "error"]
    page = result.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "piqe" in page
    table = result._repr_html_()
    assert table.startswith("<table>")
    assert table.count("<tr>") == 3
    assert repr(result) == "<ComparisonResult of 2 metrics on 12 of 12 images>"
    assert result.to_pandas().shape == (2, len(result.columns))


def test_maps(ratings, tmp_path, small_checkpoint):
    result = compare(ratings, ["piqe", Adaptation(small_checkpoint("vit"))])
    maps = result.draw_maps(tmp_path / "maps")
    assert len(maps) == len(list((tmp_path / "maps").iterdir())) == 12
    assert result.report(tmp_path / "page.html", maps=maps).exists()
    assert compare(ratings, "piqe").draw_maps(tmp_path / "none") == []


def test_progress_and_second_run(ratings):
    seen = []
    compare(ratings, "entropy", progress=seen.append)
    assert [(at.stage, at.done, at.total) for at in seen] == [("entropy", done, 12) for done in range(13)]
    seen.clear()
    compare(ratings, "entropy", progress=seen.append)
    assert seen == []


def test_interruption_keeps_scores(ratings, monkeypatch):
    def interrupt(at):
        if at.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(ComparisonInterrupted):
        compare(ratings, "entropy", progress=interrupt)
    seen = []
    compare(ratings, "entropy", progress=seen.append)
    assert seen[0].total == 7


@pytest.mark.parametrize(
    ("arguments", "options", "argument", "message"),
    [
        (["gone.csv", "piqe"], {}, None, "no such file"),
        ([["ratings.csv", "photos"], "piqe"], {}, None, "one ratings file or data set at a time"),
        (["photos", "pique"], {}, "metrics", "Did you mean 'piqe'"),
        (["photos", "ssim"], {}, "metrics", "needs reference images"),
        (["photos", [3]], {}, "metrics", "found int"),
        (["photos", ""], {}, "metrics", "no metrics were named"),
        (["photos", "ssim"], {"references": "gone"}, "references", "no such file or folder"),
        (["originals", "ssim"], {"references": "photos"}, "references", "3 of 3 images have no reference"),
        (["photos", "piqe"], {"mos_column": "x"}, "mos_column", "these are images"),
        (["photos", "piqe"], {"raters": 9}, "raters", "these are images"),
        (["ratings.csv", "piqe"], {"raters": 1}, "raters", "at least 2"),
        (["plain.csv", "piqe"], {"raters": 9}, "raters", "standard deviations"),
        ([[np.zeros((8, 8, 3))], "piqe"], {}, None, "expected paths"),
    ],
)
def test_errors_name_the_argument(folder, monkeypatch, arguments, options, argument, message):
    monkeypatch.chdir(folder)
    if arguments[0] == "plain.csv":
        pandas.read_csv("ratings.csv").drop(columns="std").to_csv("plain.csv", index=False)
    with pytest.raises(InputError, match=message) as caught:
        compare(*arguments, **options)
    assert caught.value.argument == argument


def test_maps_need_a_model_of_this_package():
    check_maps("piqe,grmp_iqa-tiny")
    with pytest.raises(InputError, match="only this package's models draw quality maps") as caught:
        check_maps("piqe")
    assert caught.value.argument == "metrics"


def test_unknown_device(ratings, monkeypatch):
    monkeypatch.setattr(metrics_module.torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="cuda"):
        compare(ratings, "piqe", device="cuda")


def test_the_command_prints_what_the_api_returns(ratings, folder):
    from grmp_cli.app import app

    arguments = ["compare", str(ratings), "--metrics", "piqe,psnr", "--ref", str(folder / "originals")]
    result = compare([str(ratings)], "piqe,psnr", references=folder / "originals", device="cpu")
    printed = CliRunner().invoke(app, [*arguments, "--device", "cpu", "--format", "json"])
    assert printed.exit_code == 0
    expected, found = json.loads(json_text(result.to_dict())), json.loads(printed.stdout)
    for document in (expected, found):
        del document["run"]["date"], document["run"]["seconds"]
    assert found == expected
