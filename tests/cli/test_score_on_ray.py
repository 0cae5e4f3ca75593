"""`grmp score --engine ray`: the same rows with two workers, whatever is killed on the way."""

import io
import random
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import numpy as np
import pandas
import psutil
import pytest
from PIL import Image

pytest.importorskip("ray")

IMAGES = 200
RAY = ("--engine", "ray", "--workers", "2")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A list of images, some broken or missing, and of an archive."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    names = []
    for number in range(IMAGES):
        names.append(f"photos/{number}.jpg")
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / names[-1])
    (folder / "photos" / "7.jpg").write_bytes(b"broken")
    with tarfile.open(folder / "a.tar", "w") as archive:
        for number in range(20):
            content = (folder / "photos" / f"{number}.jpg").read_bytes()
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (folder / "list.txt").write_text("\n".join([*names, "a.tar", "photos/missing.jpg"]))
    return folder


@pytest.fixture(scope="module")
def without_ray(grmp, sources, tmp_path_factory) -> pandas.DataFrame:
    """Rows of a run in one process."""
    out = tmp_path_factory.mktemp("without") / "scores"
    assert grmp("score", "list.txt", "--out", out, cwd=sources).code == 3
    return rows(out)


def rows(folder: Path) -> pandas.DataFrame:
    frame = pandas.read_parquet(folder).sort_values(["source", "image"], ignore_index=True)
    assert not frame[["image", "source"]].duplicated().any()
    return frame


def assert_same(out: Path, expected: pandas.DataFrame) -> None:
    found = rows(out)
    for column in ("image", "error", "source", "version"):
        assert found[column].fillna("").tolist() == expected[column].fillna("").tolist()
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-5)


def start(grmp, sources: Path, out: Path, *arguments: str) -> subprocess.Popen:
    command = ("score", "list.txt", "--out", out, *RAY, *arguments)
    return grmp.start(*command, cwd=sources, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_rows(process: subprocess.Popen, out: Path, count: int) -> int:
    deadline = time.monotonic() + 150
    while (there := sum(path.read_bytes().count(b"\n") for path in out.glob("_journal-*"))) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return there


def test_same_rows_as_without_ray(grmp, sources, without_ray, tmp_path):
    result = grmp("score", "list.txt", "--out", tmp_path / "scores", *RAY, cwd=sources)
    assert result.code == 3, result.err
    assert f"{IMAGES + 21} images, 3 failed" in result.err
    assert "Traceback" not in result.err
    assert_same(tmp_path / "scores", without_ray)


def test_worker_killed_in_the_middle(grmp, sources, without_ray, tmp_path):
    out = tmp_path / "scores"
    process = start(grmp, sources, out)
    wait_for_rows(process, out, 10)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "ray::" in " ".join(child.cmdline()) and "Worker" in " ".join(child.cmdline())
    ]
    assert workers, [child.cmdline() for child in psutil.Process(process.pid).children(recursive=True)]
    workers[0].kill()
    _, err = process.communicate(timeout=200)
    assert process.returncode == 3, err
    assert_same(out, without_ray)


@pytest.mark.parametrize("seed", range(20))
def test_driver_killed_and_resumed(grmp, sources, without_ray, tmp_path, seed):
    out = tmp_path / "scores"
    process = start(grmp, sources, out)
    kept = wait_for_rows(process, out, random.Random(seed).randrange(1, IMAGES))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    result = grmp("score", "list.txt", "--out", out, *RAY, "--resume", cwd=sources)
    assert result.code == 3, result.err
    scored = int(result.err.split(" scored now")[0].split()[-1])
    assert scored <= IMAGES + 21 - kept + 1
    assert_same(out, without_ray)
