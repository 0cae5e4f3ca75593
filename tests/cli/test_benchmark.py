"""`grmp benchmark` as a user types it."""

import csv
import signal
import time

import numpy as np
import pytest
from PIL import Image

METHODS = ("zero-shot", "ridge", "probe")


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """A ratings file of 24 small pictures, noisier and noisier."""
    folder = tmp_path_factory.mktemp("rated")
    rng = np.random.default_rng(0)
    with (folder / "noise.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "mos"))
        for number in range(24):
            pixels = 128 + rng.normal(0, 3 * number + 1, (64, 64, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
            writer.writerow((f"{number}.png", 5 - number / 6))
    return folder / "noise.csv"


@pytest.fixture(scope="module")
def done(grmp, ratings, tmp_path_factory):
    """The folder of a complete benchmark, and how its command ended."""
    out = tmp_path_factory.mktemp("benchmark") / "results"
    found = grmp(
        *("benchmark", ratings, "--shots", "8,10", "--splits", "2", "--methods", ",".join(METHODS)),
        *("--out", out, "--device", "cpu"),
    )
    return out, found


def test_table(done):
    out, found = done
    assert found.code == 0, found.err
    assert "noise, 8 shots: grmp_iqa-tiny-meta, tested on 16 images" in found.text
    assert "noise, 10 shots: grmp_iqa-tiny-meta, tested on 14 images" in found.text
    for method in METHODS:
        assert found.text.count(f"│ {method}") == 2
    assert "Wilcoxon" in found.err
    assert f"written to {out}: table.csv, table.tex, report.html" in found.err.replace("\n", " ")
    assert len(list((out / "rows").iterdir())) == 12


def test_without_data_the_folder_is_shown(forked, done):
    out, found = done
    started = time.monotonic()
    shown = forked("benchmark", "--out", out)
    assert (shown.code, shown.text) == (0, found.text)
    assert "done" not in shown.err
    as_csv, as_json = (forked("benchmark", "--out", out, "--format", name) for name in ("csv", "json"))
    assert [row["method"] for row in as_csv.csv_rows].count("ridge") == 2
    assert {row["splits"] for row in as_csv.csv_rows} == {"2"}
    assert len(as_json.json["results"]) == 6
    assert len(as_json.json["results"][0]["values"]) == 2
    assert time.monotonic() - started < 100


def test_the_same_command_computes_nothing_again(forked, done, ratings):
    out, _ = done
    before = {file.name: file.stat().st_mtime_ns for file in (out / "rows").iterdir()}
    again = forked(
        *("benchmark", ratings, "--shots", "8,10", "--splits", "2", "--methods", "ridge,probe"),
        *("--out", out, "--device", "cpu", "--format", "json"),
    )
    assert again.json["run"]["computed"] == 0
    assert {row["method"] for row in again.json["results"]} == {"ridge", "probe"}
    assert {file.name: file.stat().st_mtime_ns for file in (out / "rows").iterdir()} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_goes_on(grmp, ratings, tmp_path, number):
    command = ("benchmark", ratings, "--shots", "8", "--splits", "3", "--methods", "zero-shot,grmp")
    options = ("--epochs", "40", "--out", tmp_path / "out", "--device", "cpu")
    rows = tmp_path / "out" / "rows"
    with grmp.start(*command, *options, stderr=-1, stdout=-1) as process:
        until = time.monotonic() + 120
        while not (rows.is_dir() and any(rows.glob("*.json"))) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert b"the same command continues from here" in b" ".join(err.split())
    kept = {file.name for file in rows.glob("*.json")}
    assert 0 < len(kept) < 6
    assert kept == {file.name for file in rows.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--methods", "rigde"), "error: --methods: unknown method 'rigde'. Did you mean 'ridge'"),
        (("--shots", "1"), "error: --shots: expected a number from 2 on"),
        (("--lambda", "0,five"), "error: --lambda: expected numbers, such as 0,1,5, not 'five'"),
        (("--shard", "5/4"), "error: --shard: 5/4: give the number of the shard, from 0"),
        (("--methods", "ridge", "--shots", "23"), "too few for 23 shots"),
    ],
)
def test_mistakes(forked, ratings, tmp_path, arguments, words):
    found = forked("benchmark", ratings, "--out", tmp_path / "out", *arguments)
    assert (found.code, found.out) == (2, b"")
    assert words in " ".join(found.err.split())
    assert "Traceback" not in found.err


def test_nothing_to_show(forked, tmp_path):
    found = forked("benchmark", "--out", tmp_path)
    assert found.code == 2
    assert "no rows of a benchmark" in " ".join(found.err.split())
