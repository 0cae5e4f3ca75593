"""`grmp score` and `grmp compare` say what their search left out."""

import json
from pathlib import Path

import pytest
from grmp_cli.app import app
from PIL import Image
from typer.testing import CliRunner

from grmp_plugin.data import kinds

SAID = "3 files of kinds that are not read were left out: 1 HEIC, 1 JXL, 1 NEF"
REMEDY = f"{SAID} (pip install 'grmp-iqa[heif,jxl,raw]')"
KINDS = {"HEIC": 1, "JXL": 1, "NEF": 1}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kinds, "_has_module", lambda name: False)
    Path("photos").mkdir()
    Image.new("RGB", (64, 64), (90, 120, 50)).save("photos/IMG_0001.JPG")
    Path("photos/IMG_0002.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    Path("photos/IMG_0003.jxl").write_bytes(b"\xff\x0a")
    Path("photos/IMG_0004.NEF").write_bytes(b"II*\0")


def test_kinds_that_are_not_read_are_counted(photos, capfd):
    command = ["score", "photos", "--device", "cpu", "--format", "json", "--report", "page.html"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0
    assert REMEDY in capfd.readouterr().err + result.stderr
    document = json.loads(result.stdout)
    assert [row["image"] for row in document["images"]] == ["photos/IMG_0001.JPG"]
    assert document["run"]["left_out"] == KINDS
    assert SAID in Path("page.html").read_text(encoding="utf-8")


def test_a_named_file_has_a_row(photos):
    result = CliRunner().invoke(app, ["score", "photos/IMG_0002.HEIC", "photos/*.NEF", "--format", "csv"])
    assert result.exit_code == 3
    _, heic, raw = result.stdout.splitlines()
    assert heic.startswith("photos/IMG_0002.HEIC,,HEIC: not supported without pillow-heif")
    assert raw.startswith("photos/IMG_0004.NEF,,raw photo: not supported without rawpy")


def test_a_job_counts_them(photos, capfd):
    result = CliRunner().invoke(app, ["score", "photos", "--device", "cpu", "--out", "scores"])
    assert result.exit_code == 0
    assert REMEDY in capfd.readouterr().err + result.stderr
    record = json.loads(Path("scores/_shard-00000-of-00001.json").read_text())
    assert record["run"]["left_out"] == KINDS


def test_a_comparison_counts_them(photos, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = ["compare", "photos", "--metrics", "grmp_iqa-tiny", "--device", "cpu", "--format", "json"]
    result = CliRunner().invoke(app, [*command, "--report", "page.html"])
    assert result.exit_code == 0
    assert REMEDY in capfd.readouterr().err + result.stderr
    assert json.loads(result.stdout)["run"]["left_out"] == KINDS
    assert SAID in Path("page.html").read_text(encoding="utf-8")
