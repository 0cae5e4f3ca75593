"""`grmp score --out FOLDER`: killed and resumed, in shards, and what a wrong use is told."""

import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

IMAGES = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder of small images, all different, and two broken files."""
    folder = tmp_path_factory.mktemp("jobs") / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = rng.integers(0, 256, (60, 80 + number % 7, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (folder / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(grmp, photos, tmp_path_factory) -> pandas.DataFrame:
    """Rows of a run to the end."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "scores"
    result = grmp("score", "photos", "--out", folder, cwd=photos.parent)
    assert result.code == 3, result.err
    assert result.out == b""
    assert result.err.splitlines()[-2:] == [f"{IMAGES + 2} images, 2 failed", f"written to {folder}"]
    return rows(folder)


def rows(folder: Path) -> pandas.DataFrame:
    frame = pandas.read_parquet(folder)
    assert frame["image"].is_unique
    return frame.sort_values("image", ignore_index=True)


def assert_same(frame: pandas.DataFrame, expected: pandas.DataFrame) -> None:
    """The same rows; scores within the rounding of another batch."""
    for column in ("image", "error", "source", "version"):
        assert frame[column].fillna("").tolist() == expected[column].fillna("").tolist()
    np.testing.assert_allclose(frame["score"], expected["score"], atol=1e-5)


def start(grmp, photos: Path, folder: Path, *arguments: str) -> subprocess.Popen:
    command = ("score", "photos", "--out", folder, *arguments)
    return grmp.start(*command, cwd=photos.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def rows_on_disk(folder: Path) -> int:
    in_parts = len(rows(folder)) if list(folder.glob("part-*")) else 0
    return in_parts + sum(path.read_bytes().count(b"\n") for path in folder.glob("_journal-*"))


def kill_at(process: subprocess.Popen, folder: Path, count: int) -> None:
    """Kill a process when so many rows are on disk."""
    deadline = time.monotonic() + 100
    while process.poll() is None and rows_on_disk(folder) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()


def kill_and_resume(grmp, photos, uninterrupted, folder, seed) -> None:
    count = random.Random(seed).randrange(1, IMAGES)
    kill_at(start(grmp, photos, folder), folder, count)
    kept = rows_on_disk(folder)
    finished = grmp("score", "photos", "--out", folder, "--resume", cwd=photos.parent)
    assert finished.code == 3, finished.err
    # No row that was written before the kill is scored again.
    assert f"{IMAGES + 2} images, 2 failed; {IMAGES + 2 - kept} scored now" in finished.err
    assert_same(rows(folder), uninterrupted)


def test_killed_and_resumed_to_the_same_rows(grmp, photos, uninterrupted, tmp_path):
    kill_and_resume(grmp, photos, uninterrupted, tmp_path / "scores", seed=0)


@pytest.mark.parametrize("seed", range(1, 21))
def test_killed_at_twenty_moments(grmp, photos, uninterrupted, tmp_path, seed):
    kill_and_resume(grmp, photos, uninterrupted, tmp_path / "scores", seed)


def kill_a_shard_and_resume(grmp, photos, uninterrupted, folder, seed) -> None:
    assert grmp("score", "photos", "--out", folder, "--shard", "0/3", cwd=photos.parent).code in (0, 3)
    done = rows_on_disk(folder)
    wanted = done + random.Random(seed).randrange(1, IMAGES // 3)
    kill_at(start(grmp, photos, folder, "--shard", "1/3"), folder, wanted)
    state = grmp("shards", folder, "-f", "json")
    assert state.code == 1
    states = [one["state"] for one in state.json["shards"]]
    assert (states[0], states[2]) == ("complete", "not started")
    both = grmp.in_pairs(
        ("score", "photos", "--out", folder, "--shard", "1/3", "--resume"),
        ("score", "photos", "--out", folder, "--shard", "2/3"),
        cwd=photos.parent,
    )
    assert {result.code for result in both} <= {0, 3}
    finished = grmp("shards", folder)
    assert finished.code == 0
    assert finished.text.count("complete") == 3
    assert_same(rows(folder), uninterrupted)


def test_shard_killed_and_resumed_to_the_same_rows(grmp, photos, uninterrupted, tmp_path):
    kill_a_shard_and_resume(grmp, photos, uninterrupted, tmp_path / "scores", seed=0)


@pytest.mark.parametrize("seed", range(1, 21))
def test_shard_killed_at_twenty_moments(grmp, photos, uninterrupted, tmp_path, seed):
    kill_a_shard_and_resume(grmp, photos, uninterrupted, tmp_path / "scores", seed)


def test_interrupt_keeps_what_is_done(grmp, photos, tmp_path):
    folder = tmp_path / "scores"
    process = start(grmp, photos, folder)
    while rows_on_disk(folder) < 5:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert b"images. Continue with the same command and --resume" in err
    assert b"Traceback" not in err
    assert list(folder.glob("_journal-*")) == []
    assert len(rows(folder)) >= 5


def test_wrong_use_says_what_to_do(grmp, photos, tmp_path):
    done = tmp_path / "done"
    done.mkdir()
    (done / "_shard-00000-of-00001.json").write_text(
        '{"format": 1, "shard": 0, "shards": 1, "complete": false, "settings": {}, "run": null}'
    )
    cases = (
        ((photos, "--out", tmp_path / "x", "--shard", "one"), "not I/N"),
        ((photos, "--out", tmp_path / "x", "--sort", "worst"), "--sort: not with a folder"),
        ((photos, "--resume"), "--resume: needs rows that are written as they come"),
        ((photos, "--out", tmp_path / "x.csv", "--shard", "0/2"), "--shard: needs rows"),
        ((photos, "--out", done), "started with"),
    )
    for result, (arguments, words) in zip(
        grmp.in_pairs(*[("score", *arguments) for arguments, _ in cases]), cases, strict=True
    ):
        assert result.code == 2, arguments
        assert words in result.err
        assert "Traceback" not in result.err
    assert not (tmp_path / "x").exists()
