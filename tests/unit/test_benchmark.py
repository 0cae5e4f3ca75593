"""`grmp.benchmark` on pictures of noise with a small random network."""

import json
import math
import re
import shutil

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.benchmarking import execute as execution
from grmp_plugin.benchmarking import trainers
from grmp_plugin.benchmarking.methods import METHODS
from grmp_plugin.benchmarking.plan import Job, Shots, cells_of, digest_of, identity_of, jobs_of, own_cells
from grmp_plugin.benchmarking.published import PUBLISHED, published_for
from grmp_plugin.benchmarking.trainers import CoOpTrainer, FineTuneTrainer, LoRATrainer
from grmp_plugin.data.splits import draw_split
from grmp_plugin.errors import ConfigError, GRMPError, InputError, TrainingError, TrainingInterrupted
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.shard import Shard
from grmp_plugin.statistics.correlation import srcc
from grmp_plugin.training.prompts_run import trainer_options
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.watch import Watch

IMAGES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rated pictures of noise, two versions of each original, and others to test on."""
    folder = tmp_path_factory.mktemp("rated")
    rng = np.random.default_rng(0)
    for name in ("noise", "others"):
        (folder / name).mkdir()
        rows = []
        for number in range(IMAGES):
            noisy = 128 + rng.normal(0, 2 * number + 1, (50, 60, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
            rows.append((f"{number}.png", 90 - 2 * number + rng.normal(), f"original {number % 10}"))
        table = pandas.DataFrame(rows, columns=["image", "mos", "reference"])
        table.to_csv(folder / name / "versions.csv", index=False)
        table[["image", "mos"]].to_csv(folder / name / f"{name}.csv", index=False)
    (folder / "short.yml").write_text("training: {epochs: 2, learning_rate: 0.01, views: 2}\n")
    return folder


@pytest.fixture
def benchmark(folder, small_checkpoint):
    def call(data="noise/noise.csv", **arguments):
        usual = {
            "model": small_checkpoint("trunk", "crops"),
            "config": folder / "short.yml",
            "device": "cpu",
            "shots": [12],
            "splits": 2,
            "methods": ["zero-shot", "ridge"],
        }
        wanted = folder / data if isinstance(data, str) else data
        return grmp.benchmark(wanted, **{**usual, **arguments})

    return call


def files(out):
    return {file.name: file.stat().st_mtime_ns for file in (out / "rows").iterdir()}


def test_all_methods_on_the_same_splits(benchmark, tmp_path):
    found = benchmark(
        out=tmp_path / "out", methods=list(METHODS), strengths=[0, 5], metrics=["piqe"], splits=1
    )
    (block,) = found.blocks
    labels = {entry.label for entry in block.entries}
    others = set(METHODS) - {"grmp", "no-meta"}
    assert labels == {*others, "grmp lambda 5", "no-meta lambda 0", "no-meta lambda 5", "piqe"}
    assert (block.data, block.shots, found.missing, found.failed) == ("noise", "12", 0, 0)
    by_label = {entry.label: entry for entry in block.entries}
    for entry in block.entries:
        assert entry.rows[0].images == IMAGES - 12
        assert not math.isnan(entry.srcc.median), entry.label
    # The noise decides the ratings; regression on features finds it out.
    assert by_label["ridge"].srcc.median > 0.7
    assert by_label["svr"].srcc.median > 0.7
    assert by_label["auto"].rows[0].chosen in ("start", "ridge", "prompts", "prompts+ridge")
    scores = [by_label[name].plcc.median for name in ("zero-shot", "grmp lambda 5", "lora", "finetune")]
    assert len(set(scores)) == 4
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "rows", "table.csv", "table.tex", "report.html",
    }  # fmt: skip


def test_methods_do_as_adapt_does(benchmark, folder, small_checkpoint, tmp_path):
    found = benchmark(out=tmp_path, methods=["zero-shot", "grmp", "ridge"], splits=1, seed=3)
    (block,) = found.blocks
    by_label = {entry.label: entry.srcc.median for entry in block.entries}
    for method, label in (("prompts", "grmp lambda 5"), ("ridge", "ridge")):
        adapted = grmp.adapt(
            folder / "noise" / "noise.csv",
            12,
            small_checkpoint("trunk", "crops"),
            config=folder / "short.yml",
            method=method,
            seed=3,
            device="cpu",
        )
        assert by_label[label] == pytest.approx(adapted.after.srcc, abs=1e-9)
        assert by_label["zero-shot"] == pytest.approx(adapted.before.srcc, abs=1e-9)


def test_rows_are_kept_and_resumed(benchmark, tmp_path, monkeypatch):
    first = benchmark(out=tmp_path)
    before = files(tmp_path)
    assert len(before) == 4
    (tmp_path / "rows" / sorted(before)[1]).unlink()
    computed = []
    monkeypatch.setattr(execution.RowFolder, "write", lambda self, row: computed.append(row), raising=True)
    assert benchmark(out=tmp_path).missing == 1
    assert len(computed) == 1
    monkeypatch.undo()
    again = benchmark(out=tmp_path)
    after = files(tmp_path)
    assert after.keys() == before.keys()
    assert sum(after[name] != before[name] for name in after) == 1
    drop = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in drop} for row in again.rows] == [
        {k: v for k, v in row.items() if k not in drop} for row in first.rows
    ]


def test_a_complete_folder_is_shown_without_images_or_model(benchmark, folder, tmp_path):
    made = benchmark(out=tmp_path / "out")
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "out", moved)
    shown = grmp.benchmark(out=moved)
    assert shown.rows == made.rows
    assert (shown.missing, shown.run.details["rows"]) == (0, 4)


def test_ratings_in_another_folder_have_the_same_rows(benchmark, folder, tmp_path):
    benchmark(out=tmp_path / "out")
    before = files(tmp_path / "out")
    shutil.copytree(folder / "noise", tmp_path / "elsewhere")
    benchmark(data=tmp_path / "elsewhere" / "noise.csv", out=tmp_path / "out")
    assert files(tmp_path / "out") == before


def test_shards_share_a_folder(benchmark, tmp_path):
    first = benchmark(out=tmp_path, shots=[10, 12], shard=(0, 2))
    assert (first.missing, len(files(tmp_path))) == (4, 4)
    second = benchmark(out=tmp_path, shots=[10, 12], shard=(1, 2))
    assert (second.missing, len(files(tmp_path))) == (0, 8)
    assert second.run.details["computed"] == 4


def test_every_cell_is_in_one_shard():
    cells = cells_of(2, [Shots.parse(50), Shots.parse("20%")], 5, (Job("ridge"),))
    assert len(cells) == 20
    shared = [cell for number in (0, 1, 2) for cell in own_cells(Shard(number, 3), cells)]
    assert sorted(map(cells.index, shared)) == list(range(20))


@pytest.mark.parametrize("text", ["2/2", "3/2", "0/0", "-1/2", "1", "a/b", "1/2/3", "", "0/2 "])
def test_impossible_shards(text):
    with pytest.raises(InputError) as caught:
        Shard.parse(text)
    assert caught.value.argument == "shard"


@pytest.mark.parametrize("text", ["1", "0", "-5", "2.5", "0%", "100%", "a", "", "5 %"])
def test_impossible_shots(text):
    with pytest.raises(InputError) as caught:
        Shots.parse(text)
    assert caught.value.argument == "shots"


def test_a_share_is_of_the_originals_and_the_rest_is_tested(folder):
    settings = AdaptSettings()
    independent = grmp.read_ratings(folder / "noise" / "noise.csv")
    split = Shots.parse("30%").draw(independent, settings, 0)
    assert (len(split.shots), len(split.test)) == (9, 21)
    versions = grmp.read_ratings(folder / "noise" / "versions.csv")
    split = Shots.parse("30%").draw(versions, settings, 0)
    assert (len(split.shots), len(split.test)) == (9, 21)
    names = np.array(versions.references)
    assert not set(names[split.shots]) & set(names[split.test])
    counted = Shots.parse("12").draw(versions, settings, 4)
    assert np.array_equal(counted.shots, draw_split(versions, 12, 4).shots)


def test_lambda_zero_is_no_qgr():
    assert jobs_of(["grmp", "no-qgr", "no-meta"], [0, 5], ["piqe"]) == (
        Job("no-qgr", 0.0),
        Job("grmp", 5),
        Job("no-meta", 0),
        Job("no-meta", 5),
        Job("piqe", None, True),
    )


def test_whole_numbers_are_the_same_settings():
    def digest(strength, rate):
        (job,) = jobs_of(["grmp"], [strength], [])
        settings = AdaptSettings(learning_rate=rate)
        beside = {"data": "d", "tested": None, "seed": 0, "model": "m", "learned": False}
        return digest_of(identity_of(job, shots=Shots.parse(50), settings=settings, **beside))

    assert digest(5, 1) == digest(5.0, 1.0)
    assert digest(5, 1) != digest(4, 1)


def test_testing_on_another_data_set(benchmark, folder, tmp_path):
    found = benchmark(
        out=tmp_path,
        test_on=folder / "others" / "others.csv",
        methods=["zero-shot", "ridge", "svr", "coop"],
        splits=1,
    )
    (block,) = found.blocks
    assert (block.data, block.tested, block.place) == ("noise", "others", "noise to others")
    assert {entry.rows[0].images for entry in block.entries} == {IMAGES}
    ridge = next(entry for entry in block.entries if entry.label == "ridge")
    assert ridge.srcc.median > 0.7
    with pytest.raises(InputError, match="0 images are left to test on") as caught:
        benchmark(out=tmp_path, test_on=folder / "noise" / "versions.csv", splits=1)
    assert caught.value.argument == "test_on"


def test_fixed_metrics_are_judged_on_each_split(benchmark, folder, tmp_path):
    found = benchmark(out=tmp_path, methods=[], metrics=["piqe"])
    scores = grmp.compare(folder / "noise" / "noise.csv", "piqe").image_scores().rows
    rated = grmp.read_ratings(folder / "noise" / "noise.csv")
    values = {row["image"]: row["piqe"] for row in scores}
    (entry,) = found.blocks[0].entries
    for row in entry.rows:
        test = draw_split(rated, 12, row.seed).test
        expected = srcc([-values[rated.images[i]] for i in test], rated.mos[test])
        assert row.srcc == pytest.approx(expected)


def test_a_metric_that_fails_costs_only_its_rows(benchmark, tmp_path, monkeypatch):
    from grmp_plugin.evaluation.metrics import Metrics

    def refuse(self, spec):
        raise execution.MetricError("no weights")

    monkeypatch.setattr(Metrics, "open", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = benchmark(out=tmp_path / "out", metrics=["piqe"])
    assert (found.failed, found.missing, len(files(tmp_path / "out"))) == (2, 2, 4)
    assert [note.message for note in found.notes] == ["piqe: no weights"]


def test_a_training_that_fails_costs_only_its_row(benchmark, tmp_path, monkeypatch):
    def fail(self, step):
        raise TrainingError("not finite")

    monkeypatch.setattr(trainers.CoOpTrainer, "optimize_parameters", fail, raising=False)
    found = benchmark(out=tmp_path, methods=["coop", "zero-shot"], splits=1)
    assert (found.failed, found.missing) == (1, 1)
    assert "split 1: coop: not finite" in found.notes[0].message


def test_stopping_loses_one_row(benchmark, tmp_path):
    class Stop(Watch):
        def __init__(self):
            self.rows = 0

        def progress(self, progress):
            if progress.detail.endswith("done"):
                self.rows += 1

        def should_stop(self):
            return self.rows >= 2

    with pytest.raises(TrainingInterrupted):
        benchmark(out=tmp_path, methods=["zero-shot", "ridge", "grmp"], splits=1, progress=Stop())
    assert len(files(tmp_path)) == 2
    assert benchmark(out=tmp_path, methods=["zero-shot", "ridge", "grmp"], splits=1).missing == 0


def test_rows_of_other_settings_are_told_apart(benchmark, tmp_path, small_checkpoint):
    benchmark(out=tmp_path, methods=["ridge", "coop"], splits=1)
    benchmark(out=tmp_path, methods=["ridge", "coop"], splits=1, epochs=3)
    assert len(files(tmp_path)) == 3  # epochs decide nothing in ridge regression
    (block,) = grmp.benchmark(out=tmp_path).blocks
    assert {entry.label for entry in block.entries} == {"ridge", "coop (epochs 2)", "coop (epochs 3)"}
    benchmark(out=tmp_path, methods=["ridge"], splits=1, model=small_checkpoint("trunk", "crops", 1))
    first, second = grmp.benchmark(out=tmp_path).blocks
    assert first.setting != second.setting


def test_a_damaged_row_is_named(benchmark, tmp_path):
    benchmark(out=tmp_path, splits=1)
    file = sorted((tmp_path / "rows").iterdir())[0]
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"srcc": "high"}))
    with pytest.raises(GRMPError, match=rf"{file.name} is no row of a benchmark .*remove it"):
        grmp.benchmark(out=tmp_path)
    content["identity"]["seed"] = 7
    file.write_text(json.dumps(content))
    with pytest.raises(GRMPError, match="its name does not fit its content"):
        grmp.benchmark(out=tmp_path)


def test_rows_tell_what_made_them(benchmark, tmp_path):
    benchmark(out=tmp_path, splits=1, methods=["grmp"])
    (file,) = (tmp_path / "rows").iterdir()
    row = json.loads(file.read_text())
    assert row["identity"]["settings"]["epochs"] == 2
    assert row["identity"]["lambda"] == 5
    assert row["record"]["device"] == "cpu"
    assert row["record"]["versions"].keys() >= {"grmp-iqa", "torch"}


@pytest.mark.parametrize(
    ("arguments", "argument", "words"),
    [
        ({"methods": ["rigde"]}, "methods", "Did you mean 'ridge'"),
        ({"methods": []}, "methods", "nothing to compare"),
        ({"metrics": ["ssim"]}, "metrics", "reference images"),
        ({"metrics": ["grmp_iqa-tiny"]}, "metrics", "a model of this package"),
        ({"splits": 0}, "splits", "at least 1"),
        ({"shots": ["many"]}, "shots", "such as 50"),
        ({"strengths": [-1]}, "strengths", "0 or larger"),
        ({"splits": 10**9}, "splits", "at most 1000"),
        ({"splits": 1000, "shots": range(2, 100)}, "splits", "196000 rows: at most 100000"),
        ({"shots": []}, "shots", "at least one number"),
        ({"shots": ["1" * 5000]}, "shots", "such as 50"),
        ({"shots": ["\u0665"]}, "shots", "such as 50"),
        ({"shots": ["0.1%"]}, "shots", "0.1% of 30 images: too few .*; use another share"),
        ({"strengths": []}, "strengths", "at least one value"),
        ({"strengths": [math.nan]}, "strengths", "0 or larger, not nan"),
        ({"shots": [29]}, None, "too few for 29 shots"),
        ({"shots": [30]}, None, r"too few for 30 shots and 2 images for the test\. Use 28 shots or fewer"),
    ],
)
def test_mistakes(benchmark, tmp_path, arguments, argument, words):
    with pytest.raises((InputError, ConfigError), match=words) as caught:
        benchmark(out=tmp_path, **arguments)
    assert caught.value.argument == argument


def test_an_empty_folder_has_nothing_to_show(tmp_path):
    with pytest.raises(InputError, match="no rows of a benchmark"):
        grmp.benchmark(out=tmp_path)


@pytest.fixture
def trainer(small_checkpoint):
    def make(kind):
        options = trainer_options(small_checkpoint(), AdaptSettings(strength=0.0), 0, "cpu")
        return kind(options)

    return make


def test_what_baselines_learn(trainer):
    assert list(trainer(CoOpTrainer).learned) == ["text_prompt.ctx"]
    learned = set(trainer(FineTuneTrainer).learned)
    assert {"text_prompt.ctx", "clip.visual.transformer.resblocks.0.attn.in_proj_weight"} <= learned
    assert not any(name.startswith(("clip.transformer.", "clip.visual.conv1")) for name in learned)
    lora = trainer(LoRATrainer).learned
    assert len(lora) == 3 * 2 * 2  # blocks, weights, matrices
    assert all(name.endswith((".up", ".down")) for name in lora)


def test_lora_starts_as_the_start_and_merges_what_it_learned(trainer, small_checkpoint):
    trained, start = trainer(LoRATrainer), GRMPIQA(small_checkpoint())
    image = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    trained.net.eval()
    assert torch.equal(trained.net(image), start(image))
    with torch.no_grad():
        for name, parameter in trained.learned.items():
            if name.endswith(".up"):
                parameter.add_(0.3)
    changed = trained.net(image)
    assert not torch.allclose(changed, start(image))
    trained.merge()
    assert torch.allclose(trained.net(image), changed, atol=1e-6)
    assert trained.net.state_dict().keys() == start.state_dict().keys()


def test_published_numbers_stand_beside_the_same_setting():
    (first, second) = published_for("koniq10k", "50", None)
    assert (first.srcc, second.srcc) == (0.853, 0.812)
    assert published_for("livec", "80%", None)[0].plcc == 0.916
    assert published_for("livec", "25", None) == ()
    assert published_for("livec", "50", "koniq10k") == ()
    assert all(one.source for one in PUBLISHED)


def test_latex_and_page(benchmark, tmp_path, folder):
    ratings = folder / "noise" / "noise.csv"
    renamed = folder / "noise" / "livec.csv"
    shutil.copy(ratings, renamed)
    found = benchmark(data=renamed, out=tmp_path, shots=[10, 12], methods=["zero-shot", "grmp", "probe"])
    latex = (tmp_path / "table.tex").read_text()
    assert latex == found.latex()
    assert latex.count("&") == 5 * (1 + 6)
    assert "grmp $\\lambda$ 5" in latex
    assert "\\textbf{" in latex
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert "SRCC over shots" in page
    assert page.count("curve-line") >= 3
    frame = pandas.read_csv(tmp_path / "table.csv")
    assert len(frame) == 6
    assert frame["srcc_median"].notna().all()
    assert len(found.to_dict()["results"][0]["values"]) == 2
