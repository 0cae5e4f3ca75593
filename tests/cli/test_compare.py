"""`grmp compare` in processes: output, files and exit codes."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import training_runs
from PIL import Image, ImageFilter
from scipy import stats


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Environment with one cache of scores for all of these tests."""
    return {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def forked(grmp, cache, tmp_path_factory):
    """Cheap runs; those that `first` and others need fresh processes for are started by `grmp`."""
    folder = tmp_path_factory.mktemp("output")
    forked = training_runs.Forked(grmp.environment | cache, folder, folder)
    yield forked
    forked.close()


@pytest.fixture(scope="session")
def rated(tmp_path_factory, pictures):
    """A folder with `originals/`, blurred and darkened versions beside it, and `ratings.csv`."""
    folder = tmp_path_factory.mktemp("rated")
    (folder / "originals").mkdir()
    rows = []
    for name, picture in pictures.items():
        picture.save(folder / "originals" / f"{name}.png")
        for level in range(1, 4):
            blurred = picture.filter(ImageFilter.GaussianBlur(level))
            dark = Image.fromarray((np.asarray(picture) * (1 - 0.2 * level)).astype(np.uint8))
            for kind, version in (("blur", blurred), ("dark", dark)):
                file = f"{name}_{kind}_{level}.png"
                version.save(folder / file)
                rows.append((file, f"{name}.png", 5 - level - 0.2 * (kind == "blur"), 0.5, 12))
    with (folder / "ratings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "ref", "mos", "std", "raters"))
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def first(grmp, rated, cache):
    """One comparison with all outputs."""
    result = grmp(
        *("compare", "ratings.csv", "--metrics", "grmp_iqa-tiny,piqe,psnr,gmsd,musiq,./copy.safetensors"),
        *("--ref", "originals", "--format", "json", "--out", "table.csv", "--scores", "scores.csv"),
        *("--report", "report.html", "--maps", "maps"),
        cwd=_with_checkpoint(rated),
        environment=cache,
    )
    assert result.code == 3, result.err
    return result


def _with_checkpoint(folder):
    from grmp_plugin.network.models import MODELS

    (folder / "copy.safetensors").write_bytes(MODELS["grmp_iqa-tiny"].path.read_bytes())
    return folder


def _table(path):
    with path.open(newline="") as file:
        return {row["metric"]: row for row in csv.DictReader(file)}


def _scores(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_are_those_of_scipy_on_the_scores_written(first, rated):
    metrics = {row["metric"]: row for row in first.json["metrics"]}
    rows = _scores(rated / "scores.csv")
    mos = [float(row["mos"]) for row in rows]
    for name, sign in (("grmp_iqa-tiny", 1), ("piqe", -1), ("psnr", 1), ("gmsd", -1)):
        scores = [sign * float(row[name]) for row in rows]
        assert metrics[name]["images"] == len(rows) == 30
        assert metrics[name]["srcc"] == pytest.approx(stats.spearmanr(scores, mos).statistic, abs=1e-9)
        assert metrics[name]["krcc"] == pytest.approx(stats.kendalltau(scores, mos).statistic, abs=1e-9)
        assert metrics[name]["plcc"] == pytest.approx(stats.pearsonr(scores, mos).statistic, abs=1e-9)
        low, high = metrics[name]["srcc_interval"]
        assert low <= metrics[name]["srcc"] <= high
        assert metrics[name]["better_worse"] is not None
        assert metrics[name]["images_per_second"] > 0
    assert metrics["grmp_iqa-tiny"]["srcc"] == metrics["./copy.safetensors"]["srcc"]
    flat = _table(rated / "table.csv")
    assert float(flat["psnr"]["srcc"]) == metrics["psnr"]["srcc"]
    assert list(flat) == [row["metric"] for row in first.json["metrics"]]
    assert list(flat)[-1] == "musiq"


def test_scores_are_those_of_grmp_score_and_of_pyiqa(first, rated, grmp):
    rows = _scores(rated / "scores.csv")
    own = grmp("score", "ratings.csv", *(row["image"] for row in rows), "-f", "csv", cwd=rated)
    scored = {row["image"]: row["score"] for row in own.csv_rows if row["score"]}
    for row in rows:
        assert float(row["grmp_iqa-tiny"]) == pytest.approx(float(scored[row["image"]]), abs=1e-6)
    program = (
        "import json, pyiqa, sys\n"
        "piqe, psnr = pyiqa.create_metric('piqe', device='cpu'), pyiqa.create_metric('psnr', device='cpu')\n"
        "image, reference = sys.argv[1:]\n"
        "print('\\n' + json.dumps([float(piqe(image)), float(psnr(image, reference))]))\n"
    )
    row = rows[7]
    reference = f"originals/{row['image'].partition('_')[0]}.png"
    command = [sys.executable, "-c", program, row["image"], reference]
    printed = subprocess.run(command, cwd=rated, capture_output=True, check=True, text=True).stdout
    piqe, psnr = json.loads(printed.splitlines()[-1])
    assert float(row["piqe"]) == pytest.approx(piqe, abs=1e-4)
    assert float(row["psnr"]) == pytest.approx(psnr, abs=1e-4)


def test_metric_that_cannot_be_downloaded_does_not_affect_others(first):
    failed = next(row for row in first.json["metrics"] if row["metric"] == "musiq")
    assert "could not be downloaded" in failed["error"]
    assert failed["images"] == 0
    assert failed["srcc"] is None


def test_report_and_maps_are_there(first, rated):
    page = (rated / "report.html").read_text(encoding="utf-8")
    assert "psnr" in page
    assert "could not be downloaded" in page
    for outside in ('src="http', "src='http", 'href="http', "url(http"):
        assert outside not in page
    maps = sorted((rated / "maps").iterdir())
    assert len(maps) == 30
    with Image.open(maps[0]) as picture:
        assert picture.width >= 320


def test_second_run_creates_no_metric_and_decodes_no_image(first, rated, grmp, cache):
    program = (
        "import pyiqa, sys\n"
        "import grmp_plugin.network.grmp_iqa, grmp_plugin.evaluation.metric_scores as scores\n"
        "def never(*arguments, **options): raise SystemExit('created or decoded')\n"
        "pyiqa.create_metric = scores.read_image = scores.read_in_room = never\n"
        "grmp_plugin.network.grmp_iqa.GRMPIQA.__init__ = never\n"
        "from grmp_cli.app import main\n"
        "main()\n"
    )
    arguments = [
        "compare",
        "ratings.csv",
        "--metrics",
        "grmp_iqa-tiny,piqe,psnr,gmsd",
        "--ref",
        "originals",
        "-f",
        "json",
    ]
    command = [sys.executable, "-c", program, *arguments]
    environment = grmp.environment | cache
    again = subprocess.run(command, cwd=rated, capture_output=True, check=True, env=environment)
    before = {row["metric"]: row for row in first.json["metrics"]}
    for row in json.loads(again.stdout)["metrics"]:
        assert row["srcc"] == before[row["metric"]]["srcc"]
        assert row["images_per_second"] == before[row["metric"]]["images_per_second"]
    more = [*command[:6], "grmp_iqa-tiny,entropy", *command[7:]]
    refused = subprocess.run(more, cwd=rated, capture_output=True, check=False, env=environment)
    assert b"created or decoded" in refused.stderr


def test_without_ratings_metrics_are_compared_with_each_other(forked, photographs):
    command = ("compare", "photos", "--metrics", "grmp_iqa-tiny,piqe")
    csv_run, table_run = forked(*command, "-f", "csv", cwd=photographs), forked(*command, cwd=photographs)
    assert csv_run.code == table_run.code == 0
    rows = {row["metric"]: row for row in csv_run.csv_rows}
    assert rows["piqe"]["srcc_with_grmp_iqa-tiny"] == rows["grmp_iqa-tiny"]["srcc_with_piqe"]
    assert float(rows["piqe"]["srcc_with_piqe"]) == pytest.approx(1)
    assert "2 metrics on 5 of 5 images" in table_run.text
    assert "most disputed" in table_run.text
    assert "[red]x[/].png" in table_run.text


def test_broken_images_are_reported_and_left_out_for_all_metrics(forked, broken_folder):
    folder, kinds = broken_folder
    scores = ("--scores", folder.parent / "s.jsonl")
    result = forked("compare", folder, "--metrics", "piqe,entropy", "-f", "json", *scores)
    assert result.code == 3
    lines = (folder.parent / "s.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    good = sum(kind == "ok" for kind in kinds.values())
    assert sum(row["judged"] for row in rows) <= good
    assert all(row["error"] for row in rows if not row["judged"])


MISTAKES = [
    (("compare", "ratings.csv", "--metrics", "pique"), "Did you mean 'piqe'"),
    (("compare", "ratings.csv", "--metrics", "ssim"), "with --ref"),
    (("compare", "originals", "--metrics", "ssim", "--ref", "ratings"), "no such file or folder"),
    (("compare", "originals", "--metrics", "piqe", "--report", "report.pdf"), "report.html"),
    (("compare", "originals", "--metrics", "piqe", "--mos-column", "x"), "these are images"),
    (("compare", "ratings.csv", "--metrics", "piqe", "--mos-column", "gone"), "gone"),
    (("compare", "gone.csv", "--metrics", "piqe"), "no such file"),
    (("compare", "ratings.csv", "originals", "--metrics", "piqe"), "one ratings file"),
    (("compare", "originals", "--metrics", "piqe", "--maps", "maps"), "this package's models"),
    (("compare", "originals", "--metrics", ""), "no metrics were named"),
    (("compare", "ratings.csv", "--metrics", "piqe", "--scores", "ratings.csv"), "is the input"),
    (("compare", "originals", "--metrics", "piqe", "--out", "a.csv", "--scores", "a.csv"), "--out"),
    (("compare", "ratings.csv", "--metrics", "piqe", "--std-column", "gone"), "--std-column"),
    (("compare", "gone/", "--metrics", "entropy", "--ref", "originals"), "no such file or folder"),
    (("compare", "originals", "--metrics", "piqe", "--scores", "x.doc"), "--scores"),
]


@pytest.fixture(scope="module")
def mistaken(forked, rated):
    """Result of each mistake."""
    return forked.each(*(arguments for arguments, _ in MISTAKES), cwd=rated)


@pytest.mark.parametrize(
    "number", range(len(MISTAKES)), ids=[" ".join(arguments[1:])[:60] for arguments, _ in MISTAKES]
)
def test_mistakes_say_what_to_type(mistaken, number):
    result, message = mistaken[number], MISTAKES[number][1]
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert result.out == b""


def test_images_without_a_reference_are_left_out_on_request(forked, rated, tmp_path):
    (tmp_path / "some").mkdir()
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        (tmp_path / "some" / f"{name}.png").write_bytes((rated / "originals" / f"{name}.png").read_bytes())
    arguments = ("compare", rated / "ratings.csv", "--metrics", "psnr,musiq", "--ref", tmp_path / "some")
    refused = forked(*arguments)
    done = forked(*arguments, "--skip-bad", "--scores", tmp_path / "scores.csv", "-f", "csv")
    assert refused.code == 2
    assert "6 of 30 images have no reference there" in refused.err
    assert "--skip-bad" in refused.err
    assert done.code == 3
    assert {row["metric"]: row["images"] for row in done.csv_rows} == {"psnr": "24", "musiq": "0"}
    # The reasons are on stderr whatever the format.
    assert "it has no reference" in done.err
    assert "musiq is left out" in done.err
    left_out = [row for row in _scores(tmp_path / "scores.csv") if row["error"]]
    assert {row["image"].rpartition("/")[2].partition("_")[0] for row in left_out} == {"china"}


def test_ratings_of_the_opposite_direction_are_noted(forked, rated):
    arguments = ("compare", rated / "ratings.csv", "--metrics", "psnr", "--ref", rated / "originals")
    result = forked(*arguments, "--lower-better")
    assert result.code == 0
    assert "psnr correlates negatively with the ratings" in result.err
    assert "--higher-better or --lower-better" in result.err


def test_maps_have_distinct_names_and_are_not_scored(forked, pictures, tmp_path):
    folder = tmp_path / "photos"
    for number, name in enumerate(("a/x.png", "b/x.png", "b/x-2.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        list(pictures.values())[number].save(folder / name)
    arguments = ("score", folder, "--maps", folder / "maps", "--format", "json")
    first, second = forked(*arguments), forked(*arguments)
    assert len(list((folder / "maps").iterdir())) == 3
    assert [row["image"] for row in second.json["images"]] == [row["image"] for row in first.json["images"]]
    assert "3 quality maps were left out" in second.err
