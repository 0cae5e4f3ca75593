"""Whatever is in the folder of a job, of a benchmark or of a session: named, nothing lost, nothing twice."""

import io
import json
import os
import shutil
import sqlite3
import tarfile
from functools import partial
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from hostile_values import SCALARS, VALUES, WORDS, check, damaged, variations
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.api.label import open_labelling
from grmp_plugin.benchmarking.plan import digest_of
from grmp_plugin.data.units import Units
from grmp_plugin.errors import ImageError, InputError
from grmp_plugin.jobs.folder import shard_states

IMAGES = 3
MANIFEST, PART = "_shard-00000-of-00001.json", "part-00000-of-00001-000000.parquet"
JOURNAL = "_journal-00000-of-00001-000001.jsonl"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile jobs")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def job(home, small_network):
    """A function that makes the folder of a complete job, and one that goes on with it."""
    network = small_network()
    score = partial(grmp.score, str(home / "photos"), model=network, device="cpu")
    score(out=home / "whole")

    def fresh() -> Path:
        shutil.rmtree(home / "out", ignore_errors=True)
        return Path(shutil.copytree(home / "whole", home / "out"))

    def resume(folder: Path) -> None:
        saved = score(out=folder, resume=True)
        table = pyarrow.dataset.dataset(sorted(folder.glob("part-*"))).to_table()
        images = table.column("image").to_pylist()
        rows = list(zip(table.column("source").to_pylist(), images, strict=True))
        assert len(set(rows)) == len(rows) == saved.images
        assert set(images) >= {str(home / "photos" / f"{number}.png") for number in range(IMAGES)}

    return fresh, resume


def check_job(out: Path, resume) -> list[str | None]:
    """Both commands refuse the folder, naming it, or do what they claim."""
    return check(out, shard_states, resume)


RECORD = {
    "format": 1,
    "shard": 0,
    "shards": 1,
    "complete": True,
    "settings": {"model": "m", "weights_sha256": "0" * 64, "images": ["photos"], "check": "time"},
    "run": {"images": 3, "failed": 0},
}


@hypothesis.given(record=variations(RECORD))
def test_records_of_a_shard(job, record):
    fresh, resume = job
    out = fresh()
    known = json.loads((out / MANIFEST).read_text())
    merged = known | record if isinstance(record, dict) else record
    if isinstance(merged, dict) and merged["settings"] == RECORD["settings"]:
        merged["settings"] = known["settings"]
    (out / MANIFEST).write_text(json.dumps(merged))
    check_job(out, resume)


@hypothesis.given(
    content=st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode()))
)
def test_records_of_any_content(job, content):
    fresh, resume = job
    out = fresh()
    (out / MANIFEST).write_bytes(content)
    for refused in check_job(out, resume):
        assert refused is not None
        assert "put it back, or score into another folder" in refused
    assert (out / MANIFEST).read_bytes() == content


@pytest.mark.parametrize("shards", [10**9, 10**30, 100_001])
def test_records_of_too_many_shards(job, shards):
    fresh, resume = job
    out = fresh()
    (out / MANIFEST).write_text(json.dumps(RECORD | {"shards": shards}))
    assert all(check_job(out, resume))


@hypothesis.given(data=st.data())
def test_damaged_parts(job, data):
    fresh, resume = job
    out = fresh()
    (out / PART).write_bytes(data.draw(damaged((out / PART).read_bytes())))
    assert check_job(out, resume) == [None, None]


COLUMNS = ("image", "score", "error", "source", "version")


@hypothesis.given(
    column=st.sampled_from(COLUMNS),
    value=SCALARS,
    finished=st.one_of(VALUES.map(json.dumps), st.text(max_size=20), st.just("[" * 100_000)),
    tag=st.booleans(),
)
def test_parts_of_other_types(job, column, value, finished, tag):
    fresh, resume = job
    out = fresh()
    table = pyarrow.parquet.read_table(out / PART)
    try:
        changed = pyarrow.array([value] * len(table))
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError):
        hypothesis.reject()
    table = table.set_column(COLUMNS.index(column), column, changed)
    metadata = table.schema.metadata if tag else {"finished": finished.encode("utf-8", "replace")}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), out / PART)
    # Rows of images that are not in the arguments stay, as those of images that were removed do.
    assert check_job(out, resume) == [None, None]


@hypothesis.given(
    lines=st.lists(st.one_of(VALUES, st.lists(SCALARS, min_size=2, max_size=5)), max_size=4),
    end=st.sampled_from(["", "\n", "[" * 100_000, "\0"]),
)
def test_journals_of_any_lines(job, lines, end):
    fresh, resume = job
    out = fresh()
    (out / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines) + end)
    assert check_job(out, resume) == [None, None]
    assert not (out / JOURNAL).exists()


@hypothesis.given(end=st.one_of(WORDS, st.sampled_from(["000000", "9" * 200, "-5", "\u0663"])))
def test_files_that_are_called_as_parts(job, end):
    hypothesis.assume("/" not in end and "\0" not in end and len(end.encode(errors="replace")) < 200)
    fresh, resume = job
    out = fresh()
    file = out / f"part-00000-of-00001-{end}.parquet"
    if file.exists():
        return
    try:
        shutil.copy(out / PART, file)
    except UnicodeEncodeError:
        hypothesis.reject()
    for refused in check_job(out, resume):
        assert refused is None or "is not a file of this job; move it out" in refused
    assert file.exists()


def test_a_part_that_was_copied_is_not_counted_twice(job):
    fresh, resume = job
    out = fresh()
    shutil.copy(out / PART, out / PART.replace("000000.", "000001."))
    assert shard_states(out)[0].state == "damaged"
    resume(out)
    assert shard_states(out)[0].state == "complete"


def test_parts_of_another_job_are_refused(job):
    fresh, resume = job
    out = fresh()
    shutil.copy(out / PART, out / "part-00003-of-00009-000000.parquet")
    assert all(check_job(out, resume))


@pytest.mark.parametrize("name", [MANIFEST, PART, JOURNAL, f".{PART}.tmp"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "dangling"])
def test_what_is_no_file(job, name, kind):
    fresh, resume = job
    out = fresh()
    (out / name).unlink(missing_ok=True)
    match kind:
        case "folder":
            (out / name).mkdir()
        case "pipe":
            os.mkfifo(out / name)
        case "device":
            (out / name).symlink_to("/dev/zero")
        case "dangling":
            (out / name).symlink_to("nothing")
    named = str(out / name)
    try:
        check_job(out, resume)
    except OSError as error:  # the command prints it as it is
        named = error.filename
    assert named == str(out / name)


@pytest.mark.parametrize("name", [f".{PART}.tmp", f".{MANIFEST}.tmp", f".{MANIFEST}.lock", JOURNAL])
def test_links_are_not_followed_when_something_is_written(job, home, name):
    fresh, resume = job
    out = fresh()
    (home / "other.txt").write_text("not the job's")
    (out / name).symlink_to(home / "other.txt")
    (out / PART).unlink()  # so that a part is written
    resume(out)
    assert (home / "other.txt").read_text() == "not the job's"


# --- lists, archives and tables ---------------------------------------------------------------------


def no_name(name: str) -> bool:
    """No image is done."""
    return False


def read_all(file) -> None:
    """Find the images, and read each: ImageError is the reason in a row."""
    for unit in Units([str(file)]):
        for image in unit.images(no_name):
            try:
                image.read()
            except ImageError:
                continue


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
@hypothesis.given(
    start=st.sampled_from(["", "image\n", "sep=;\nimage;mos\n", "image,image\n", "\ufeff", "a\tpath\n"]),
    content=st.one_of(
        st.binary(max_size=200),
        st.lists(WORDS, max_size=6).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    ),
)
def test_lists_of_any_text(home, suffix, start, content):
    file = home / f"list{suffix}"
    file.write_bytes(start.encode() + content)
    check(file, read_all)


@pytest.fixture(scope="module")
def shards(home) -> dict[str, bytes]:
    """An archive and a table of the photographs."""
    contents = [file.read_bytes() for file in sorted((home / "photos").iterdir())]
    found = {}
    for mode in ("w", "w:gz"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode) as archive:
            for number, content in enumerate(contents):
                info = tarfile.TarInfo(f"{number}.png")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        found[".tar" if mode == "w" else ".tar.gz"] = stream.getvalue()
    rows = [{"bytes": content, "path": f"{number}.png"} for number, content in enumerate(contents)]
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"image": rows}), stream)
    found[".parquet"] = stream.getvalue()
    return found


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".parquet"])
@hypothesis.given(data=st.data())
def test_damaged_shards(home, shards, suffix, data):
    file = home / f"damaged{suffix}"
    file.write_bytes(data.draw(damaged(shards[suffix])))
    check(file, read_all)


@hypothesis.given(
    values=st.lists(st.one_of(SCALARS, st.dictionaries(st.sampled_from(["bytes", "path"]), SCALARS)))
)
def test_tables_of_any_values(home, values):
    file = home / "values.parquet"
    try:
        pyarrow.parquet.write_table(pyarrow.table({"image": values}), file)
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError, TypeError):
        hypothesis.reject()
    check(file, read_all)


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tar", "a.parquet"])
def test_lists_and_shards_that_are_no_files(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (tmp_path / f"zero-{name}").symlink_to("/dev/zero")
    for file in (tmp_path / name, tmp_path / f"zero-{name}"):
        check(file, read_all)


# --- rows of a benchmark ----------------------------------------------------------------------------

IDENTITY = {
    "format": 1,
    "data_sha256": "a" * 64,
    "tested_sha256": None,
    "shots": "12",
    "seed": 0,
    "model_sha256": "b" * 64,
    "include_learned": False,
    "method": "ridge",
    "lambda": None,
    "fixed": False,
    "settings": {"sampling": "random", "test_share": None, "split_by": "reference"},
}
ROW = {
    "identity": IDENTITY,
    "data": "livec",
    "tested": None,
    "model": "grmp_iqa-tiny-meta",
    "learned": 12,
    "images": 18,
    "srcc": 0.5,
    "plcc": None,
    "krcc": 0.25,
    "seconds": 0.1,
    "chosen": None,
    "record": {"date": "2026-01-01", "versions": {"torch": "2"}},
}


@hypothesis.given(row=variations(ROW))
def test_rows_of_a_benchmark(tmp_path_factory, row):
    out = tmp_path_factory.mktemp("rows")
    (out / "rows").mkdir()
    good = out / "rows" / f"{digest_of(IDENTITY | {'seed': 1})}.json"
    good.write_text(json.dumps(ROW | {"identity": IDENTITY | {"seed": 1}}))
    identity = row.get("identity") if isinstance(row, dict) else None
    try:
        name = digest_of(identity)
    except ValueError:  # of more digits than Python prints
        name = "0"
    file = out / "rows" / f"{name}.json"
    try:
        file.write_text(json.dumps(row))
    except ValueError:
        hypothesis.reject()

    def show(_) -> None:
        result = grmp.benchmark(out=out)
        assert result.latex()
        assert result.to_dict()["results"]
        assert (out / "report.html").exists()

    check(file, show)
    assert file.exists()
    assert good.exists()


# --- sessions of raters -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(home) -> bytes:
    """The file of a session of which some was rated."""
    with open_labelling(str(home / "photos"), home / "first.csv") as labelling:
        store = labelling.store
        rater = store.enter("Ada")
        for _ in range(4):
            store.vote(rater, store.state(rater).task, 3, 1.5, (800, 600, 1.0))
    return (home / "first.session.sqlite").read_bytes()


def go_on(file) -> None:
    with open_labelling(None, file.with_name("ratings.csv")) as labelling:
        assert labelling.store.pictures()
        for rater in labelling.store.raters():
            labelling.store.state(rater)
        labelling.store.votes()


@hypothesis.given(data=st.data())
def test_damaged_sessions(home, session, data):
    file = home / "ratings.session.sqlite"
    file.write_bytes(data.draw(damaged(session)))
    check(file, go_on)


@hypothesis.given(name=st.sampled_from(["format", "pairs", "seed", "secret", "port"]), value=VALUES)
def test_sessions_of_other_values(home, session, name, value):
    file = home / "ratings.session.sqlite"
    file.write_bytes(session)
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE session SET value = ? WHERE name = ?", [json.dumps(value), name])
    connection.close()
    check(file, go_on)


@pytest.mark.parametrize(
    "change",
    [
        *(f"DROP TABLE {name}" for name in ("session", "picture", "rater", "task", "vote")),
        "DELETE FROM picture",
        "UPDATE picture SET path = x'ff' || number",
        "UPDATE rater SET name = x'ff'",
        "UPDATE vote SET value = 'x'",
        "UPDATE vote SET seconds = 'x'",
        "UPDATE vote SET seconds = 9e999",
    ],
)
def test_sessions_that_another_program_changed(home, session, change):
    file = home / "ratings.session.sqlite"
    file.write_bytes(session)
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(InputError, match=r"ratings\.session\.sqlite: not a rating session; move it away"):
        go_on(file)


def test_everything_unchanged_is_accepted(job, home, session, shards, tmp_path):
    """Else the tests above could pass because everything is refused."""
    fresh, resume = job
    assert check_job(fresh(), resume) == [None, None]
    for suffix, content in shards.items():
        (tmp_path / f"whole{suffix}").write_bytes(content)
        images = [
            image for unit in Units([str(tmp_path / f"whole{suffix}")]) for image in unit.images(no_name)
        ]
        assert [image.read().shape for image in images] == [(40, 50, 3)] * IMAGES
    (home / "ratings.session.sqlite").write_bytes(session)
    go_on(home / "ratings.session.sqlite")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / f"{digest_of(IDENTITY)}.json").write_text(json.dumps(ROW))
    assert len(grmp.benchmark(out=tmp_path).split_rows) == 1
