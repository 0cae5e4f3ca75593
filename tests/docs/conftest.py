"""A folder as the readers of the documentation have it, and the examples that they would try there."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.synthetic.distortions import distort

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PRISTINE = ("astronaut", "chelsea", "coffee", "rocket")
KINDS = ("gaussian_blur", "jpeg", "white_noise")
RATERS = (("Ada", 0.0), ("Bo", 0.4), ("Cy", -0.4))
_SIDE = 200  # pixels


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos/`, `originals/`, and `ratings.csv` of 64 versions of the originals, of which
    `single.csv` has the ratings of three people.

    `short.yml` makes `adapt` quick.
    """
    folder = tmp_path_factory.mktemp("reader")
    for name in ("photos", "originals", "rated"):
        (folder / name).mkdir()
    for path in EXAMPLES.glob("*.jpg"):
        with Image.open(path) as opened:
            opened.resize((_SIDE, _SIDE)).save(folder / "photos" / path.name, quality=95)
    rows = []
    for name in PRISTINE:
        with Image.open(EXAMPLES / f"{name}.jpg") as opened:
            pixels = np.asarray(opened.convert("RGB").resize((_SIDE, _SIDE)))
        Image.fromarray(pixels).save(folder / "originals" / f"{name}.png")
        for kind in (None, *KINDS):
            for level in range(1, 6) if kind else (0,):
                file = f"rated/{name}_{kind}_{level}.png"
                Image.fromarray(distort(pixels, kind, level, 0) if kind else pixels).save(folder / file)
                rows.append((file, 4.8 - 0.7 * level, f"{name}.png"))
    with (folder / "ratings.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("image", "mos", "reference"), *rows])
    with (folder / "single.csv").open("w", newline="", encoding="utf-8") as stream:
        votes = [
            (file, name, min(5, max(1, round(mos + shift))))
            for name, shift in RATERS
            for file, mos, _ in rows
        ]
        csv.writer(stream).writerows([("image", "rater", "rating"), *votes])
    (folder / "short.yml").write_text("training: {shots: 10, epochs: 2, learning_rate: 0.1, views: 2}\n")
    return folder


@pytest.fixture
def reader(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of `prepared`, which is the working folder."""
    folder = tmp_path / "reader"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder
