"""Scores that are written as they come: what any moment leaves behind, and how it is gone on with."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pyarrow.dataset
import pyarrow.parquet
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.errors import ImageError, InputError
from grmp_plugin.jobs import parts

IMAGES = 30


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("jobs") / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(IMAGES - 1):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(folder / f"{number}.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    return str(folder)


@pytest.fixture(scope="module")
def uninterrupted(photos, tmp_path_factory) -> pandas.DataFrame:
    return rows(grmp.score(photos, out=tmp_path_factory.mktemp("whole") / "scores").path)


def rows(folder: Path) -> pandas.DataFrame:
    frame = pandas.read_parquet(folder)
    assert frame["image"].is_unique
    return frame.sort_values("image", ignore_index=True)


def assert_same(frame: pandas.DataFrame, expected: pandas.DataFrame) -> None:
    pandas.testing.assert_frame_equal(frame, expected, check_exact=False, atol=1e-5)


def snapshots(photos: str, out: Path, folder: Path, monkeypatch) -> list[Path]:
    """The folder of a job as SIGKILL leaves it after each of its writes: a copy at every row.

    A part is written every seven rows.
    """
    monkeypatch.setattr(parts, "ROWS_PER_PART", 7)
    taken = []

    def copy(progress):
        taken.append(folder / str(progress.done))
        shutil.copytree(out, taken[-1])

    grmp.score(photos, out=out, progress=copy)
    return taken


def test_any_moment_is_gone_on_with_to_the_same_rows(photos, uninterrupted, tmp_path, monkeypatch):
    (tmp_path / "copies").mkdir()
    copies = snapshots(photos, tmp_path / "out", tmp_path / "copies", monkeypatch)
    assert len(copies) == IMAGES
    for number in (1, 6, 7, 8, 20, 29):
        copy = copies[number - 1]
        with pytest.raises(InputError, match="was started") as refused:
            grmp.score(photos, out=copy)
        assert refused.value.see == ("resume",)
        saved = grmp.score(photos, out=copy, resume=True)
        assert (saved.images, saved.failed, saved.scored) == (IMAGES, 1, IMAGES - number)
        assert_same(rows(copy), uninterrupted)
        assert list(copy.glob("_journal*")) == list(copy.glob(".*")) == []
    assert_same(rows(tmp_path / "out"), uninterrupted)
    assert len(list((tmp_path / "out").glob("part-*"))) == 5


def test_a_kill_between_a_part_and_the_end_of_its_journal(photos, uninterrupted, tmp_path, monkeypatch):
    (tmp_path / "copies").mkdir()
    copies = snapshots(photos, tmp_path / "out", tmp_path / "copies", monkeypatch)
    copy = copies[9]  # three rows in the second journal
    (journal,) = copy.glob("_journal-*")
    part = next((tmp_path / "out").glob("part-*-000001.parquet"))
    shutil.copy(part, copy)
    assert len(rows(copy)) == 14  # no reader sees the journal's rows twice
    with open(journal, "ab") as file:
        file.write(b'["half a li')
    (copy / ".part-00000-of-00001-000002.parquet.tmp").write_bytes(b"half a part")
    assert len(rows(copy)) == 14
    assert grmp.score(photos, out=copy, resume=True).scored == IMAGES - 14
    assert_same(rows(copy), uninterrupted)
    # The same without the part: what the journal holds up to the damage is kept.
    copy = copies[11]
    (journal,) = copy.glob("_journal-*")
    journal.write_bytes(journal.read_bytes() + b"\0\0\0\0")
    assert grmp.score(photos, out=copy, resume=True).scored == IMAGES - 12
    assert_same(rows(copy), uninterrupted)


@pytest.mark.parametrize("damage", ["half", "byte"])
def test_a_damaged_part_is_found_and_done_again(photos, uninterrupted, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(parts, "ROWS_PER_PART", 7)
    out = tmp_path / "out"
    grmp.score(photos, out=out)
    part = sorted(out.glob("part-*"))[3]
    content = part.read_bytes()
    middle = len(content) // 4
    part.write_bytes(
        content[:middle] if damage == "half" else content[:middle] + b"\xff\0\xff" + content[middle + 3 :]
    )
    assert [one.state for one in grmp.shards(out)] == ["damaged"]
    saved = grmp.score(photos, out=out, resume=True)
    assert saved.damaged == (part.name,)
    assert saved.scored == 7
    assert [one.state for one in grmp.shards(out)] == ["complete"]
    assert_same(rows(out), uninterrupted)


@pytest.mark.parametrize(("check", "changed"), [("time", 2), ("digest", 1)])
def test_changed_images_are_scored_again(photos, tmp_path, check, changed):
    place, out = tmp_path / "photos", tmp_path / "out"
    place.mkdir()
    for number in (1, 2, 3):
        shutil.copy(f"{photos}/{number}.jpg", place)
    grmp.score(str(place), out=out, check=check)
    before = rows(out)
    assert before["version"].str.startswith("sha256:").all() == (check == "digest")
    shutil.copy(f"{photos}/9.jpg", place / "1.jpg")
    os.utime(place / "2.jpg", (1, 1))
    shutil.copy(f"{photos}/4.jpg", place)
    saved = grmp.score(str(place), out=out, check=check, resume=True)
    assert (saved.images, saved.scored, saved.changed) == (4, changed + 1, changed)
    after = rows(out)
    assert after["score"][0] != before["score"][0]
    np.testing.assert_allclose(after["score"][1:3], before["score"][1:3], atol=1e-5)


def test_what_may_have_passed_is_tried_again(photos, tmp_path, monkeypatch):
    from grmp_plugin.data import sources

    def failing(path, **options):
        if path.endswith(("/1.jpg", "/2.jpg")):
            raise ImageError("cannot be read: the network is down")
        return sources_read(path, **options)

    sources_read = sources.read_image
    with monkeypatch.context() as patch:
        patch.setattr(sources, "read_image", failing)
        saved = grmp.score(photos, out=tmp_path / "out")
    assert saved.failed == 3
    saved = grmp.score(photos, out=tmp_path / "out", resume=True)
    assert (saved.images, saved.failed, saved.scored, saved.changed) == (IMAGES, 1, 2, 2)


def test_nothing_to_score_leaves_no_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "unread").mkdir()
    (tmp_path / "unread" / "a.psd").write_bytes(b"8BPS")
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    for name, words in (("empty", "no images"), ("unread", "PSD"), ("list.csv", "no column of paths")):
        with pytest.raises(InputError, match=words):
            grmp.score(str(tmp_path / name), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_done_are_not_opened(photos, tmp_path, monkeypatch):
    grmp.score(photos, out=tmp_path / "out")
    monkeypatch.setattr("grmp_plugin.data.sources.read_image", None)
    assert grmp.score(photos, out=tmp_path / "out", resume=True).scored == 0


def test_one_file(photos, uninterrupted, tmp_path):
    out = tmp_path / "scores.parquet"

    def copy(progress):
        if progress.done == 10:
            assert not out.exists()
            shutil.copytree(tmp_path / "scores.parquet.parts", tmp_path / "killed.parquet.parts")

    saved = grmp.score(photos, out=out, progress=copy)
    assert not (tmp_path / "scores.parquet.parts").exists()
    frame = pandas.read_parquet(out)
    pandas.testing.assert_frame_equal(frame, saved.to_pandas())
    assert_same(frame.sort_values("image", ignore_index=True), uninterrupted[["image", "score", "error"]])
    run = json.loads(pyarrow.parquet.read_schema(out).metadata[b"run"])
    assert (run["images"], run["failed"]) == (IMAGES, 1)
    # Killed after ten rows, and gone on with.
    killed = tmp_path / "killed.parquet"
    with pytest.raises(InputError, match="was started"):
        grmp.score(photos, out=killed)
    assert grmp.score(photos, out=killed, resume=True).scored == IMAGES - 10
    pandas.testing.assert_frame_equal(pandas.read_parquet(killed), frame, check_exact=False, atol=1e-5)
    assert grmp.score(photos, out=killed, resume=True).scored == 0


def test_a_complete_file_is_not_taken_for_another(photos, tmp_path, small_network):
    folder = tmp_path / "some"
    folder.mkdir()
    shutil.copy(f"{photos}/1.jpg", folder)
    out, network = tmp_path / "scores.parquet", small_network()
    # The same file by two paths has one row.
    score = partial(grmp.score, [str(folder), f"{folder}/../some/1.jpg"], out=out, resume=True)
    grmp.score(str(folder), out=out, model=network)
    before = out.read_bytes()
    assert score(model=network).scored == 0
    with pytest.raises(InputError, match="was written with weights_sha256 '"):
        score()
    shutil.copy(f"{photos}/2.jpg", folder)
    with pytest.raises(InputError, match=r"is complete, but lacks 1 images .* such as .*2\.jpg"):
        score(model=network)
    assert out.read_bytes() == before
    for content in (b"", b"PAR1", b"no table"):
        out.write_bytes(content)
        with pytest.raises(InputError, match="holds no scores of this package; name another file"):
            score(model=network)
        assert out.read_bytes() == content
    pyarrow.parquet.write_table(pyarrow.table({"image": ["a"], "score": ["b"], "error": ["c"]}), out)
    with pytest.raises(InputError, match="holds no scores of this package"):
        score(model=network)


def test_other_readers_see_one_data_set(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "ROWS_PER_PART", 7)
    out = tmp_path / "out"
    for number in range(2):
        grmp.score(photos, out=out, shard=(number, 2))
    assert pyarrow.dataset.dataset(out).count_rows() == IMAGES
    duckdb = pytest.importorskip("duckdb")
    counted = duckdb.sql(f"SELECT count(*), count(error), avg(score) FROM '{out}/*.parquet'").fetchall()
    assert counted[0][:2] == (IMAGES, 1)
    assert counted[0][2] == pytest.approx(rows(out)["score"].mean())


def test_a_folder_is_gone_on_with_as_it_was_started(photos, tmp_path):
    out = tmp_path / "out"
    grmp.score(photos, out=out, shard=(0, 2))
    cases = {
        "precision fp32, not bf16": {"precision": "bf16"},
        "check time, not digest": {"check": "digest"},
        "model grmp_iqa-tiny, not grmp_iqa-tiny-meta": {"model": "grmp_iqa-tiny-meta"},
        "2 shards, not 3": {"shard": (1, 3)},
        "images": {"images": f"{photos}/1.jpg"},
    }
    for words, options in cases.items():
        with pytest.raises(InputError, match=words):
            grmp.score(**({"images": photos, "out": out, "shard": (1, 2)} | options))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        grmp.score(photos, out=tmp_path / "mine")
    with pytest.raises(InputError, match="0/4 to 3/4"):
        grmp.score(photos, out=tmp_path / "new", shard=(4, 4))
    with pytest.raises(InputError, match="name a folder"):
        grmp.score(photos, out=tmp_path / "x.parquet", shard=(0, 2))
    with pytest.raises(InputError, match="not a folder that scores"):
        grmp.shards(tmp_path / "mine")
