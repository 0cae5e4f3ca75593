"""`grmp adapt` from outside: processes, their output, their files and exit codes."""

import csv
import fcntl
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import training_runs as runs
from safetensors.torch import load_file
from scipy import stats

from grmp_plugin.network.checkpoint import read_checkpoint
from grmp_plugin.network.models import find_checkpoint

NAMES = ("srcc", "plcc", "krcc", "rmse")
# The six train rows are the shots, whatever the seed.
COLUMN = ("adapt", "ratings.csv", "--config", "small.yml", "--split-column", "split")
RANDOM = ("adapt", "ratings.csv", "--config", "small.yml")
EPOCHS = 100
LONG = ("adapt", "fewer.csv", "--config", "long.yml", "--split-column", "split")
KILLS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen rated photographs, and configurations of small trainings."""
    folder = tmp_path_factory.mktemp("adapt") / "rated"
    runs.rated_photographs(folder)
    small = "method: prompts, shots: 6, learning_rate: 0.1, views: 2"
    (folder / "long.yml").write_text(f"training: {{{small}, epochs: {EPOCHS}}}\n")
    (folder / "released.yml").write_text(f"training: {{{small}, epochs: 10, protocol: released}}\n")
    (folder / "typo.yml").write_text("training: {epoch: 4}\n")
    header, *rows = _rows(folder)
    test = [row for row in rows if row[2] == "test"]
    runs.write_csv(folder / "fewer.csv", [header, *(row for row in rows if row not in test[5:])])
    return folder


@pytest.fixture(scope="module")
def forked(grmp, folder, tmp_path_factory):
    """Cheap runs in the folder of the photographs; nothing can be downloaded."""
    environment = grmp.environment | {"HF_HUB_OFFLINE": "1"}
    forked = runs.Forked(environment, tmp_path_factory.mktemp("output"), folder)
    yield forked
    forked.close()


def _rows(folder: Path) -> list[list[str]]:
    """The ratings' header and rows."""
    with (folder / "ratings.csv").open(newline="") as file:
        return list(csv.reader(file))


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


def _assert_identical(first: Path, second: Path) -> None:
    """Two checkpoints have the same bits and the same info."""
    a, b = _tensors(first), _tensors(second)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert read_checkpoint(first).info == read_checkpoint(second).info


def _assert_no_traceback(err: str) -> None:
    for sign in ("Traceback", "Error:", "Exception ignored", 'File "', "Warning"):
        assert sign not in err


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


# What a run shows and writes


@pytest.fixture(scope="module")
def first(grmp, forked, folder):
    """One adaptation as JSON, and the same again as a table."""
    as_json = grmp(*COLUMN, "--out", "first.safetensors", "--format", "json", cwd=folder)
    table = forked(*COLUMN, "--out", "again.safetensors")
    for result in (as_json, table):
        assert result.code == 0, result.err
        _assert_no_traceback(result.err)
    return SimpleNamespace(json=as_json, table=table, document=as_json.json)


def test_json_is_complete(first):
    document = first.document
    assert list(document) == ["run", "before", "after", "difference", "splits"]
    for when in ("before", "after"):
        found = document[when]
        assert found["images"] == 10
        for name in NAMES:
            low, high = found[f"{name}_interval"]
            assert low <= found[name] <= high
            assert low < high
    run = document["run"]
    assert (run["command"], run["model"], run["data"]) == ("adapt", "grmp_iqa-tiny", "ratings.csv")
    assert (run["images"], run["seed"], run["splits"], run["device"]) == (16, 0, 1, "cpu")
    assert (run["settings"]["shots"], run["settings"]["epochs"]) == (6, 4)
    (split,) = document["splits"]
    assert {name: split[name] for name in ("before", "after", "difference")} == {
        name: document[name] for name in ("before", "after", "difference")
    }
    assert split["shots"] == 6
    assert split["skipped_steps"] == 0
    assert 0 < split["moved"] < 1
    assert split["best_epoch"] is None


def test_table_on_stdout_has_the_numbers_of_the_json(first):
    text = first.table.out.decode()
    cells = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:5]]
        for line in text.splitlines()
        if line.startswith("│")
    }
    assert list(cells) == ["SRCC", "PLCC", "KRCC", "RMSE"]
    for name in NAMES:
        for cell, when in zip(cells[name.upper()], ("before", "after"), strict=False):
            value, (low, high) = (first.document[when][key] for key in (name, f"{name}_interval"))
            assert cell == f"{value:.3f} [{low:.3f}, {high:.3f}]"
    difference = first.document["difference"]
    low, high = difference["srcc_interval"]
    assert cells["SRCC"][2] == f"{difference['srcc']:+.3f} [{low:+.3f}, {high:+.3f}]"
    title, *table = text.splitlines()
    assert "6 ratings" in title
    assert "10 images" in title
    assert all(line[0] in "┏┃┡│└" for line in table)


@pytest.mark.parametrize("shown", ["json", "table"])
def test_messages_are_on_stderr_only(first, shown):
    result, out = getattr(first, shown), {"json": "first", "table": "again"}[shown]
    for words in ("16 rated images", "epoch 1 of 4", "epoch 4 of 4", f"written to {out}.safetensors"):
        assert words in result.err
        assert words not in result.out.decode()
    difference = f"{first.document['difference']['srcc']:+.3f}"
    assert f"6 ratings changed SRCC by {difference}" in result.err
    assert not re.search(r"[┏┃│└{}]", result.err)


@pytest.fixture(scope="module")
def scored(forked, first):
    """Quality of every photograph by `grmp score`: by the start, and by the checkpoint written."""
    command = ("score", "photos", "--format", "json")
    results = [forked(*command), forked(*command, "--model", "first.safetensors")]
    for result in results:
        assert result.code == 0, result.err
    return [{row["image"]: row["score"] for row in result.json["images"]} for result in results]


@pytest.mark.parametrize("when", ["before", "after"])
def test_statistics_are_those_of_grmp_score_on_the_test_images(folder, first, scored, when):
    rows = _rows(folder)[1:]
    shots = [float(mos) for _, mos, side in rows if side == "train"]
    low, high = min(shots), max(shots)
    scores = scored[("before", "after").index(when)]
    test = [(scores[image], float(mos)) for image, mos, side in rows if side == "test"]
    predicted, mos = np.array(test).T
    predicted = low + predicted * (high - low)
    found = first.document[when]
    # Adaptation looks at views of 8 bit, scoring at floats.
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - mos) ** 2)), rel=2e-3)
    assert found["srcc"] == pytest.approx(stats.spearmanr(predicted, mos).statistic, abs=1e-6)
    assert found["plcc"] == pytest.approx(stats.pearsonr(predicted, mos).statistic, abs=2e-3)
    assert found["krcc"] == pytest.approx(stats.kendalltau(predicted, mos).statistic, abs=1e-6)


def test_difference_is_after_minus_before(first):
    document = first.document
    assert document["difference"]["srcc"] == pytest.approx(
        document["after"]["srcc"] - document["before"]["srcc"], abs=1e-12
    )
    assert document["before"]["rmse"] != document["after"]["rmse"]


def test_checkpoint_says_where_it_comes_from(forked, first):
    result = forked("models", "info", "first.safetensors", "--format", "json")
    assert result.code == 0, result.err
    info = result.json["info"]
    assert info["mos_scale"] == first.document["splits"][0]["mos_scale"]
    assert (info["mos_scale"]["low"], info["mos_scale"]["high"]) == (25.0, 82.5)
    assert info["mos_scale"]["lower_better"] is False
    assert (info["shots"], info["seed"], info["data"]) == (6, 0, "ratings.csv")
    assert (info["start"], info["protocol"], info["epochs"]) == ("grmp_iqa-tiny", "own", 4)
    assert info["metrics"] == {when: first.document[when] for when in ("before", "after")}


def test_same_command_twice_gives_the_same_bits(folder, first):
    _assert_identical(folder / "first.safetensors", folder / "again.safetensors")


def test_another_seed_gives_other_tensors(forked, folder, first):
    result = forked(*COLUMN, "--seed", "1", "--out", "seed1.safetensors")
    assert result.code == 0, result.err
    assert read_checkpoint(folder / "seed1.safetensors").info["seed"] == 1
    ours, theirs = (_tensors(folder / f"{name}.safetensors") for name in ("first", "seed1"))
    learned = [name for name in ours if _is_learned(name)]
    assert all(not torch.equal(ours[name], theirs[name]) for name in learned)


def _is_learned(name: str) -> bool:
    """Of four blocks of the image tower and three of the text tower, the last; and both final LayerNorms."""
    return name == "text_prompt.ctx" or name.startswith(
        (
            "clip.ln_final.",
            "clip.visual.ln_post.",
            "clip.transformer.resblocks.2.",
            "clip.visual.transformer.resblocks.3.",
        )
    )


def test_only_what_is_to_be_learned_differs_from_the_start(folder, first):
    start = {name: t.float() if t.is_floating_point() else t for name, t in _start_tensors().items()}
    adapted = _tensors(folder / "first.safetensors")
    assert adapted.keys() == start.keys()
    changed = {name for name in start if not torch.equal(start[name], adapted[name])}
    assert changed == {name for name in start if _is_learned(name)}
    assert len(changed) == 1 + 2 + 2 + 12 + 12


def _start_tensors() -> dict[str, torch.Tensor]:
    return dict(find_checkpoint("grmp_iqa-tiny").tensors)


# Splits, sampling, protocols, scales


SAME_HALF = 1  # a seed whose two random shots of 16 are of the same half of the ratings


@pytest.fixture(scope="module")
def two_splits(forked):
    """Two random splits of two shots each."""
    result = forked(
        *(*RANDOM, "--shots", "2", "--splits", "2", "--seed", str(SAME_HALF)),
        *("--out", "two.safetensors", "--format", "json"),
    )
    assert result.code == 0, result.err
    return result


def test_several_splits_give_medians(two_splits):
    document = two_splits.json
    splits = document["splits"]
    assert [split["seed"] for split in splits] == [SAME_HALF, SAME_HALF + 1]
    assert [split["shots"] for split in splits] == [2, 2]
    assert [split["before"]["images"] for split in splits] == [14, 14]
    assert splits[0]["mos_scale"] != splits[1]["mos_scale"]
    for when in ("before", "after"):
        for name in NAMES:
            values = [split[when][name] for split in splits]
            assert document[when][name] == pytest.approx(statistics.median(values))
            assert document[when][f"{name}_min"] == min(values)
            assert document[when][f"{name}_max"] == max(values)
            assert document[when][f"{name}_interval"] == [None, None]  # of the median of two
    differences = [split["difference"]["srcc"] for split in splits]
    assert document["difference"]["srcc"] == pytest.approx(statistics.median(differences))
    assert document["run"]["splits"] == 2


def test_two_splits_are_not_called_too_few_images(two_splits):
    assert "2 ratings changed SRCC" in two_splits.err
    assert "too few images" not in two_splits.err


def test_of_several_splits_the_first_ones_model_is_kept(forked, folder, two_splits):
    result = forked(*RANDOM, "--shots", "2", "--seed", str(SAME_HALF), "--out", "one.safetensors")
    assert result.code == 0, result.err
    _assert_identical(folder / "one.safetensors", folder / "two.safetensors")


@pytest.fixture(scope="module")
def released(forked):
    """Protocol released, with two shots spread over the ratings."""
    result = forked(
        *("adapt", "ratings.csv", "--config", "released.yml", "--sampling", "spread", "--shots", "2"),
        *("--seed", str(SAME_HALF), "--format", "json"),
    )
    assert result.code == 0, result.err
    return result


def test_spread_shots_come_from_both_halves_of_the_ratings(folder, two_splits, released):
    tested = {Path(row["image"]).name for row in released.json["splits"][0]["tested"]}
    middle = statistics.median(float(row[1]) for row in _rows(folder)[1:] if Path(row[0]).name not in tested)
    drawn, spread = (result.json["splits"][0]["mos_scale"] for result in (two_splits, released))
    assert (drawn["low"] < middle) == (drawn["high"] < middle)
    assert spread["low"] <= middle < spread["high"]


def test_released_protocol_reports_the_best_epoch_and_warns(forked, folder, two_splits):
    training = "method: prompts, shots: 6, learning_rate: 0.5, views: 2, epochs: 10, protocol: released"
    (folder / "better.yml").write_text(f"model: grmp_iqa-tiny-meta\ntraining: {{{training}}}\n")
    command = ("adapt", "ratings.csv", "--config", "better.yml", "--sampling", "spread", "--shots", "2")
    released = forked(*command, "--seed", "9", "--format", "json")
    assert released.code == 0, released.err
    assert "optimistic" in released.err
    assert "--protocol own" in released.err
    assert "optimistic" not in two_splits.err
    (split,) = released.json["splits"]
    assert split["best_epoch"] in (5, 10)  # it evaluates every five epochs, and finds a much better one here
    before, after = (split[when]["plcc"] + split[when]["srcc"] for when in ("before", "after"))
    assert after > before
    assert [split["best_epoch"] for split in two_splits.json["splits"]] == [None, None]


@pytest.fixture(scope="module")
def dmos(forked, folder):
    """The same ratings, inverted: with the right and with the wrong direction."""
    rows = [[image, f"{100 - float(mos)}", side] for image, mos, side in _rows(folder)[1:]]
    runs.write_csv(folder / "dmos.csv", [("image", "dmos", "split"), *rows])
    command = ("adapt", "dmos.csv", *COLUMN[2:], "--format", "json")
    right = forked(*command, "--lower-better", "--out", "lower.safetensors")
    wrong = forked(*command, "--higher-better", "--mos-range", "0", "120")
    for result in (right, wrong):
        assert result.code == 0, result.err
    return SimpleNamespace(right=right, wrong=wrong)


def test_lower_better_turns_the_scale_around_and_nothing_else(folder, first, dmos):
    found, same = dmos.right.json, first.document
    for when in ("before", "after"):
        assert [found[when][name] for name in NAMES] == pytest.approx(
            [same[when][name] for name in NAMES], abs=1e-6
        )
    scale = found["splits"][0]["mos_scale"]
    assert (scale["low"], scale["high"], scale["lower_better"]) == (17.5, 75.0, True)
    assert read_checkpoint(folder / "lower.safetensors").info["mos_scale"] == scale
    turned, plain = (_tensors(folder / f"{name}.safetensors") for name in ("lower", "first"))
    assert all(torch.allclose(turned[name], plain[name], atol=1e-5) for name in plain)
    assert "negatively" not in dmos.right.err


def test_negative_correlation_is_noted(first, dmos):
    assert dmos.wrong.json["before"]["srcc"] == pytest.approx(-first.document["before"]["srcc"], abs=1e-9)
    assert "correlate negatively with the ratings" in dmos.wrong.err
    assert "--lower-better" in dmos.wrong.err


def test_declared_range_is_the_scale(dmos):
    scale = dmos.wrong.json["splits"][0]["mos_scale"]
    assert (scale["low"], scale["high"], scale["source"]) == (0.0, 120.0, "declared")


# Mistakes


def _changed(rows: list[list[str]], line: int, column: int, value: str) -> list[list[str]]:
    """Rows with one cell changed; lines as an editor counts them."""
    rows = [list(row) for row in rows]
    rows[line - 1][column] = value
    return rows


@pytest.fixture(scope="module")
def mistakes(folder):
    """The folder, with ratings that are wrong in every way."""
    rows = _rows(folder)
    readable = (folder / "photos" / "rocket_0.png").read_bytes()
    (folder / "photos" / "cut.png").write_bytes(readable[: len(readable) // 2])
    (folder / "taken.safetensors").mkdir()
    tables = {
        "column.csv": _changed(rows, 1, 1, "opinion"),
        "gone.csv": _changed(rows, 3, 0, "photos/gone.png"),
        "text.csv": _changed(rows, 4, 1, "good"),
        "nan.csv": _changed(rows, 5, 1, "NaN"),
        "one.csv": [rows[0], *([row[0], "50", row[2]] for row in rows[1:])],
        "few.csv": rows[:6],
        "twice.csv": [*rows, [rows[1][0], "11", rows[1][2]]],
        "undirected.csv": _changed(rows, 1, 1, "dmos"),
        "cut.csv": [*rows, ["photos/cut.png", "40", "test"]],
    }
    for name, table in tables.items():
        runs.write_csv(folder / name, table)
    return folder


def _assert_refused(result, code: int, said: list[str], folder: Path, before: set[Path]) -> None:
    assert result.code == code, result.err
    assert result.out == b""
    for words in said:
        assert words in result.err
    _assert_no_traceback(result.err)
    assert set(folder.rglob("*")) == before


OUT = ["--out", "refused.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["column.csv", *OUT], 2, ["column.csv", "MOS column", "'opinion'", "--mos-column"]),
        (["gone.csv", *OUT], 2, ["gone.csv", "line 3", "photos/gone.png", "no such file", "--skip-bad"]),
        (["text.csv", *OUT], 2, ["text.csv", "line 4", "photos/astronaut_3.png", "'good'", "--skip-bad"]),
        (["nan.csv", *OUT], 2, ["nan.csv", "line 5", "photos/astronaut_5.png", "NaN", "--skip-bad"]),
        (["one.csv", *OUT], 2, ["one.csv", "same value", "50", "'mos'", "--mos-column"]),
        (
            ["twice.csv", *OUT],
            2,
            ["twice.csv", "line 2", "line 18", "another MOS (80.0, 11.0)"],
        ),
        (["undirected.csv", *OUT], 2, ["undirected.csv", "'dmos'", "--higher-better", "--lower-better"]),
        (
            ["ratings.csv", "--mos-range", "0", "85", *OUT],
            2,
            ["ratings.csv", "line 14", "87.5", "outside the range 0 to 85", "--skip-bad"],
        ),
        (["ratings.csv", "--mos-range", "85", "0", *OUT], 2, ["--mos-range", "85 and 0"]),
        (["nothere.csv", *OUT], 2, ["nothere.csv", "no such file"]),
        (["photos/", *OUT], 2, ["photos/", "folder", "CSV"]),
        (["ratings.csv", "--images", "elsewhere", *OUT], 2, ["--images: elsewhere", "not a folder"]),
        (["ratings.csv", "--config", "smal.yml"], 2, ["--config: smal.yml", "no such file", "tiny/adapt"]),
        (["ratings.csv", "--config", "typo.yml"], 2, ["typo.yml", "'epoch'", "Did you mean 'epochs'?"]),
        (["ratings.csv", "--out", "a.pt"], 2, ["--out: a.pt", "a.safetensors"]),
        (["ratings.csv", "--out", "no/a.safetensors"], 2, ["--out: no/a.safetensors", "no does not exist"]),
        (["ratings.csv", "--out", "taken.safetensors"], 2, ["taken.safetensors", "folder"]),
        (["ratings.csv", "--resume"], 2, ["--resume", "--out"]),
        (["ratings.csv", "--shots", "1", *OUT], 2, ["--shots", "2"]),
        (["ratings.csv", "--shot", "6", *OUT], 2, ["--shot", "--shots"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].islower() else None,
)
def test_mistakes_found_before_heavy_imports(grmp, mistakes, arguments, code, said):
    before = set(mistakes.rglob("*"))
    config = () if "--config" in arguments else ("--config", "small.yml")
    started = time.monotonic()
    result = grmp("adapt", *arguments, *config, cwd=mistakes, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert time.monotonic() - started < 20
    profile, said_lines = [], []
    for line in result.err.splitlines(keepends=True):
        (profile if line.startswith("import time:") else said_lines).append(line)
    assert not any(re.search(r"\|\s+torch$", line) for line in profile)
    plain = SimpleNamespace(code=result.code, out=result.out, err="".join(said_lines))
    _assert_refused(plain, code, said, mistakes, before)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["few.csv", *OUT], 2, ["few.csv", "5 rated images", "6 shots", "3 shots or fewer", "--shots"]),
        (
            ["cut.csv", *OUT],
            2,
            ["cut.csv", "1 of 17", "photos/cut.png", "truncated", "--skip-bad"],
        ),
        (["livc", *OUT], 2, ["'livc'", "Did you mean 'livec'?"]),
        (["ratings.csv", "--resume", *OUT], 1, ["nothing to resume", "refused.safetensors.state"]),
        (["ratings.csv", "--protocol", "relesed", *OUT], 2, ["--protocol", "own or released", "'relesed'"]),
        (["ratings.csv", "--protocol", "reference", *OUT], 2, ["own or released", "now called 'released'"]),
        (["ratings.csv", "--sampling", "sprad", *OUT], 2, ["--sampling", "random or spread", "'sprad'"]),
        (["ratings.csv", "--split-column", "side", *OUT], 2, ["--split-column", "'side'", "'split'"]),
        (["ratings.csv", "--model", "grmp_iqa-tini", *OUT], 2, ["Did you mean 'grmp_iqa-tiny'?"]),
        (
            ["ratings.csv", "--model", "no.safetensors", *OUT],
            2,
            ["no such checkpoint file", "no.safetensors"],
        ),
        (["ratings.csv", "--device", "cuda", *OUT], 2, ["--device: there is no CUDA device; choose cpu"]),
        (["livec", "--mos-column", "mos", *OUT], 2, ["--mos-column", "livec", "ratings files"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].islower() else None,
)
def test_mistakes_found_later(forked, mistakes, arguments, code, said):
    before = set(mistakes.rglob("*"))
    result = forked("adapt", *arguments, "--config", "small.yml")
    _assert_refused(result, code, said, mistakes, before)


def test_data_set_that_cannot_be_downloaded(forked, tmp_path):
    empty = tmp_path / "nothing here"
    empty.mkdir()
    started = time.monotonic()
    result = forked("adapt", "livec", "--data-root", empty, "--out", tmp_path / "a.safetensors")
    assert time.monotonic() - started < 20
    _assert_refused(
        result,
        1,
        ["'livec'", str(empty / "meta_info"), str(empty / "LIVEC"), "HF_HUB_OFFLINE", "--data-root"],
        tmp_path,
        {empty},
    )


def test_bad_rows_are_left_out_and_listed(forked, mistakes, first):
    bad = [
        ["photos/gone.png", "40", "train"],
        ["photos/cut.png", "45", "train"],
        ["photos/rocket_0.png", "fine", "test"],
        ["photos/rocket_1.png", "inf", "test"],
        ["", "30", "test"],
    ]
    runs.write_csv(mistakes / "bad.csv", [*_rows(mistakes), *bad])
    result = forked("adapt", "bad.csv", *COLUMN[2:], "--skip-bad", "--format", "json")
    assert result.code == 3, result.err
    _assert_no_traceback(result.err)
    for words in (
        "5 rows left out",
        "line 18: photos/gone.png: no such file",
        "photos/cut.png: truncated",
        "line 20: photos/rocket_0.png: text where a number should be: 'fine'",
        "line 21: photos/rocket_1.png: MOS inf is not a finite number",
        "line 22: no image name",
    ):
        assert words in result.err
    document = result.json
    # What is left are the ratings of the first run.
    assert document["run"]["ratings_sha256"] == first.document["run"]["ratings_sha256"]
    assert document["splits"] == first.document["splits"]


# Interrupted and resumed


@pytest.fixture(scope="module")
def uninterrupted(forked, folder):
    """A longer training from start to end, and how long its parts took."""
    run = forked.start(*LONG, "--out", "whole.safetensors", "--format", "json")
    started = time.monotonic()
    _wait_until(lambda: f"epoch 1 of {EPOCHS}" in run.err, run)
    first_step = time.monotonic()
    result = run.wait()
    assert result.code == 0, result.err
    return SimpleNamespace(
        document=result.json,
        path=folder / "whole.safetensors",
        setup=first_step - started,
        training=time.monotonic() - first_step,
    )


def test_killed_again_and_again_and_resumed_to_the_same_bits(forked, folder, uninterrupted):
    out, state = folder / "chain.safetensors", folder / "chain.safetensors.state"
    command = (*LONG, "--out", out.name, "--format", "json")
    chance = random.Random(7)
    steps, torn = [0], set()
    for kill in range(KILLS):
        run = forked.start(*command, *(["--resume"] if state.exists() else []), save_every=0.0)
        if kill % 4 == 0:  # before it has come to training
            time.sleep(chance.uniform(0, 0.6) * uninterrupted.setup)
        else:
            _wait_until(lambda run=run: "epoch" in run.err, run)
            time.sleep(chance.uniform(0, 0.07) * uninterrupted.training)
        if kill % 4 == 3:  # during a save
            _wait_until(lambda known=frozenset(torn): _half_written(folder) - known, run)
        run.send(signal.SIGKILL)
        assert run.wait().code == -signal.SIGKILL
        torn |= _half_written(folder)
        assert not out.exists()
        if state.exists():
            loop = _state(state)["training"]["loop"]
            assert loop["step"] == loop["epoch"] + loop["done"] >= steps[-1]
            steps.append(loop["step"])
    assert torn, "no kill met a save"
    assert len(set(steps)) > 3, "hardly any run went on where the one before was killed"
    result = forked(*command, "--resume")
    assert result.code == 0, result.err
    assert f"epoch {steps[-1] + 1} of {EPOCHS}" in result.err
    assert f"epoch {steps[-1]} of {EPOCHS}" not in result.err
    _assert_identical(out, uninterrupted.path)
    assert result.json["splits"] == uninterrupted.document["splits"]
    assert not state.exists()


def _half_written(folder: Path) -> set[Path]:
    return set(folder.glob(".chain.safetensors.state.*"))


@pytest.fixture(scope="module")
def interrupted(grmp, forked, folder, uninterrupted):
    """Ctrl-C in a long training, an attempt to resume with another seed, and resuming."""
    out, state = folder / "stopped.safetensors", folder / "stopped.safetensors.state"
    command = (*LONG, "--out", out.name, "--format", "json")
    process = grmp.start(*command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    lines = []
    while not lines or b"epoch 1 of" not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], b"".join(lines)
    time.sleep(0.1)  # into a step; interrupting a write is the subject of another test
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=100)
    err = b"".join([*lines, stderr]).decode()
    assert state.exists(), err
    found = SimpleNamespace(code=process.returncode, out=stdout, err=err, state=_state(state))
    kept = state.read_bytes()
    other = forked(*command, "--resume", "--seed", "1")
    untouched = state.read_bytes() == kept and not out.exists()
    resumed = forked(*command, "--resume")
    return SimpleNamespace(
        first=found, other=other, untouched=untouched, resumed=resumed, out=out, left=state
    )


def test_interrupt_ends_after_the_step_and_keeps_the_state(interrupted):
    found = interrupted.first
    assert found.code == 130
    assert found.out == b""
    _assert_no_traceback(found.err)
    assert "stopping after this step" in found.err
    said = re.search(rf"interrupted after step (\d+) of {EPOCHS}", found.err)
    assert said
    assert "--resume" in found.err
    assert found.state["training"]["loop"]["step"] == int(said[1]) >= 1
    assert found.state["finished"] == []


def test_state_of_another_run_is_refused_by_what_differs(interrupted):
    assert interrupted.other.code == 1
    assert "stopped.safetensors.state belongs to another run (seed: 0 there, 1 here)" in interrupted.other.err
    assert "without resuming" in interrupted.other.err
    _assert_no_traceback(interrupted.other.err)
    assert interrupted.untouched


def test_interrupted_training_goes_on_to_the_same_bits(interrupted, uninterrupted):
    assert interrupted.resumed.code == 0, interrupted.resumed.err
    assert "epoch 1 of" not in interrupted.resumed.err
    _assert_identical(interrupted.out, uninterrupted.path)
    assert interrupted.resumed.json["splits"] == uninterrupted.document["splits"]
    assert not interrupted.left.exists()


@pytest.fixture(scope="module")
def between(forked, folder):
    """Ctrl-C once the first of two splits is done; a copy of the state; resuming."""
    out, state = folder / "between.safetensors", folder / "between.safetensors.state"
    command = (
        *(*RANDOM, "--shots", "2", "--splits", "2", "--seed", str(SAME_HALF)),
        *("--out", out.name, "--format", "json"),
    )
    run = forked.start(*command)
    _wait_until(out.exists, run)
    run.send(signal.SIGINT)
    stopped = run.wait()
    shutil.copy(state, folder / "copy.state")
    resumed = forked(*command, "--resume")
    return SimpleNamespace(
        command=command, stopped=stopped, resumed=resumed, copy=folder / "copy.state", out=out, left=state
    )


def test_interrupted_between_splits_and_resumed(between, two_splits, folder):
    assert between.stopped.code == 130
    assert len(_state(between.copy)["finished"]) == 1
    assert between.resumed.code == 0, between.resumed.err
    assert between.resumed.json["splits"] == two_splits.json["splits"]
    assert between.resumed.json["before"] == two_splits.json["before"]
    _assert_identical(between.out, folder / "two.safetensors")
    assert not between.left.exists()


@pytest.mark.parametrize(
    "changed",
    [("--mos-range", "0", "120"), ("--lower-better",), ("--split-column", "split")],
    ids=" ".join,
)
def test_state_of_other_ratings_options_is_refused(forked, folder, between, changed):
    out = folder / "other_options.safetensors"
    shutil.copy(between.copy, folder / f"{out.name}.state")
    command = [out.name if word == between.out.name else word for word in between.command]
    result = forked(*command, *changed, "--resume")
    assert result.code == 1
    assert "belongs to another run" in result.err


def test_interrupt_without_out_says_that_nothing_is_kept(forked, folder):
    before = set(folder.rglob("*"))
    run = forked.start(*LONG)
    _wait_until(lambda: "epoch 1 of" in run.err, run)
    time.sleep(0.05)  # into a step
    run.send(signal.SIGINT)
    result = run.wait()
    assert result.code == 130
    assert "Nothing was kept" in result.err
    assert "--resume" not in result.err
    assert set(folder.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs to see that a process waits")
def test_interrupt_while_a_message_is_written(grmp, folder):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"." * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
    process = grmp.start(*RANDOM, cwd=folder, stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    # Nobody reads, so it blocks in the middle of its first message, as on a terminal after Ctrl-S.
    seen = [("", 0)]
    while seen[-5:] != [("S", max(seen[-1][1], 50))] * 5:
        assert process.poll() is None
        assert len(seen) < 600
        time.sleep(0.1)
        seen.append(_activity(process.pid))
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    with open(reader, "rb") as stream:
        err = stream.read().lstrip(b".").decode()
    assert process.wait(timeout=100) == 130, err
    assert "Nothing was kept" in err
    _assert_no_traceback(err)


def _activity(pid: int) -> tuple[str, int]:
    """What a process does (R: runs, S: waits), and its CPU time, hundredths of seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[11]) + int(fields[12])


# Help


def test_help_is_there_without_torch(grmp):
    result = grmp("adapt", "--help", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.code == 0
    imported = {line.rpartition("|")[2].strip() for line in result.err.splitlines()}
    assert "grmp_plugin" in imported
    assert not {"torch", "pyiqa", "open_clip", "numpy", "PIL.Image", "huggingface_hub"} & imported
    for words in (
        "--shots",
        "--out",
        "--resume",
        "--skip-bad",
        "--mos-range",
        "--lower-better",
        "Exit codes",
    ):
        assert words in result.text
