"""What a job of scoring reads beside folders: lists, archives, tables with images, and addresses."""

import io
import shutil
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.data.images import read_encoded, read_image
from grmp_plugin.data.units import Units
from grmp_plugin.errors import ImageError, InputError


def encoded(seed: int, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(encoded(number))
    return folder


def tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def table(file: Path, /, **columns) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file


def score(images, out: Path, **options) -> pandas.DataFrame:
    saved = grmp.score(images if isinstance(images, list) else str(images), out=out, **options)
    frame = saved.to_pandas()
    assert len(frame) == len(saved) == saved.images
    # What is missing is None or nan, as pandas has it.
    return frame.astype({"error": object, "source": object}).where(frame.notna(), None)


def names(arguments, **options) -> list[str]:
    given = [str(argument) for argument in arguments]
    return [image.name for unit in Units(given, **options) for image in unit.images(lambda name: False)]


# --- the same scores, wherever an image lies --------------------------------------------------------


def test_scores_do_not_depend_on_where_the_image_lies(photos, tmp_path):
    contents = [encoded(number) for number in range(3)]
    expected = grmp.score(str(photos)).scores
    sources = {
        "tar": tar(tmp_path / "a.tar", [(f"{n}.jpg", one) for n, one in enumerate(contents)]),
        "gz": tar(tmp_path / "a.tar.gz", [(f"{n}.jpg", one) for n, one in enumerate(contents)]),
        "bytes": table(tmp_path / "bytes.parquet", image=contents),
        "struct": table(tmp_path / "hf.parquet", image=[{"bytes": one, "path": None} for one in contents]),
        "list": table(tmp_path / "list.parquet", path=[f"photos/{n}.jpg" for n in range(3)]),
        "address": f"file://{photos}",
    }
    for name, source in sources.items():
        frame = score(source, tmp_path / name)
        np.testing.assert_allclose(frame["score"], expected, atol=1e-5)
        assert frame["error"].isna().all()
        in_shard = name in ("tar", "gz", "bytes", "struct")
        assert frame["source"].tolist() == [str(source) if in_shard else None] * 3


# --- lists ------------------------------------------------------------------------------------------


def test_lists_of_paths(photos, tmp_path):
    rows = [f"photos/{number}.jpg" for number in range(3)]
    (tmp_path / "list.txt").write_text("\ufeff" + "\r\n".join([*rows, "", "photos/none.jpg"]))
    (tmp_path / "list.csv").write_text("label,Image\n1," + "\n1,".join(rows) + "\n")
    (tmp_path / "other.csv").write_text("where,what\n" + "\n".join(f"{row},x" for row in rows))
    table(tmp_path / "list.parquet", where=rows)
    assert names([tmp_path / "list.txt"]) == [*rows, "photos/none.jpg"]
    assert names([tmp_path / "list.csv"]) == rows
    assert names([tmp_path / "other.csv"], image_column="where") == rows
    assert names([tmp_path / "list.parquet"], image_column="where") == rows
    # As the list has them in the rows, and read beside the list.
    frame = score(tmp_path / "list.txt", tmp_path / "out")
    assert frame["image"].tolist() == [*rows, "photos/none.jpg"]
    assert frame["error"].tolist() == [None, None, None, "no such file"]


def test_a_list_on_standard_input(photos, tmp_path, monkeypatch):
    text = f"{photos}/0.jpg\n{photos}/none.jpg\n".encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert score("-", tmp_path / "out")["error"].tolist() == [None, "no such file"]


def test_a_file_that_is_listed_twice_has_one_row(photos, tmp_path):
    (tmp_path / "list.txt").write_text("photos/1.jpg\nphotos/1.jpg\n./photos/1.jpg\nphotos/2.jpg\n")
    frame = score([str(tmp_path / "list.txt"), str(photos)], tmp_path / "out")
    assert frame["image"].tolist() == ["photos/1.jpg", "photos/2.jpg", f"{photos}/0.jpg"]


def test_a_file_that_links_lead_to_again_has_one_row(photos, tmp_path):
    place = tmp_path / "linked"
    shutil.copytree(photos, place / "a")
    (place / "b").symlink_to(place / "a")
    (place / "a" / "circle").symlink_to(place)
    frame = score(place, tmp_path / "out")
    assert frame["image"].tolist() == [f"{place}/a/{path.name}" for path in sorted(photos.iterdir())]


def test_lists_of_shards(tmp_path):
    tar(tmp_path / "a.tar", [("x.jpg", encoded(1))])
    tar(tmp_path / "b.tar", [("x.jpg", encoded(2))])
    (tmp_path / "list.txt").write_text("a.tar\nb.tar\n")
    frame = score(tmp_path / "list.txt", tmp_path / "out")
    assert frame[["source", "image"]].to_numpy().tolist() == [["a.tar", "x"], ["b.tar", "x"]]
    assert frame["score"].nunique() == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", r"list\.csv: no column of paths; columns: a, b"),
        (",".join(f"c{n}" for n in range(1000)), r"c18, c19, \.\.\."),
        ("image\n", "the list is empty"),
        ("\n", "the list is empty"),
        ("", "empty file"),
        ("image,image\na.jpg,b.jpg\n", "two columns are called 'image'; rename one"),
        ("image\n" + "x" * 2_000_000, "line 2 has more than 1048576 characters"),
        ("image\na.jpg\nb\0.jpg\n", "line 3 is not text; save the list as text in UTF-8"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, content, words):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        names([tmp_path / "list.csv"])


@pytest.mark.parametrize(
    "content",
    [
        "image;mos\n0.jpg;3,5\n1.jpg;4\n",
        "sep=;\r\nimage;mos\r\n0.jpg;3,5\r\n1.jpg;4\r\n",
        "\ufeffmos;image\n3,5;0.jpg\n4;1.jpg\n",
        "label\tpath\nx\t0.jpg\ny\t1.jpg\n",
    ],
)
def test_lists_from_spreadsheets(tmp_path, content):
    (tmp_path / "list.csv").write_text(content, newline="")
    assert names([tmp_path / "list.csv"]) == ["0.jpg", "1.jpg"]


def test_text_lists_that_are_no_text(tmp_path):
    (tmp_path / "list.txt").write_bytes("photos/0.jpg\n".encode("utf-16"))
    with pytest.raises(InputError, match=r"list\.txt: line 1 is not text; save the list as text in UTF-8"):
        names([tmp_path / "list.txt"])
    (tmp_path / "list.txt").write_text(" \n\t\n")
    with pytest.raises(InputError, match="the list is empty"):
        names([tmp_path / "list.txt"])


def test_a_list_says_which_of_its_addresses_cannot_be_used(tmp_path):
    (tmp_path / "none.zip").write_bytes(b"not a zip file")
    for address, words in (
        ("nothing://a.jpg", "Protocol not known"),
        (f"zip://a.jpg::{tmp_path}/none.zip", "not a zip file"),
    ):
        (tmp_path / "list.txt").write_text(address)
        with pytest.raises(InputError, match=rf"list\.txt: {address[:7]}.*{words}"):
            names([tmp_path / "list.txt"])


def test_standard_input_has_an_end(monkeypatch):
    monkeypatch.setattr("grmp_plugin.data.paths._MOST_BYTES", 1000)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x" * 2000)))
    with pytest.raises(InputError, match="on standard input"):
        Units(["-"])


def test_columns_that_cannot_be_used(tmp_path):
    path = table(tmp_path / "list.parquet", number=[1], image=[1.5])
    with pytest.raises(InputError, match="no column of images or paths; columns: number, image"):
        names([path])
    with pytest.raises(InputError, match="no column 'none'") as problem:
        names([path], image_column="none")
    assert problem.value.see == ("image_column",)
    arrays = [pyarrow.array(["a.jpg"]), pyarrow.array(["b.jpg"])]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, names=["image", "image"]), path)
    with pytest.raises(InputError, match="two columns are called 'image'"):
        names([path])


# Older versions cannot write views into Parquet.
VIEWS = int(pyarrow.__version__.partition(".")[0]) >= 21


@pytest.mark.parametrize("kind", ["string", "large_string", *["string_view"] * VIEWS, "dictionary"])
def test_paths_of_any_type_of_text(tmp_path, kind):
    column = pyarrow.array(["a.jpg", "b.jpg"])
    column = column.dictionary_encode() if kind == "dictionary" else column.cast(getattr(pyarrow, kind)())
    assert names([table(tmp_path / "list.parquet", image=column)]) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("kind", ["binary", "large_binary", *["binary_view"] * VIEWS, "fixed"])
def test_images_of_any_type_of_bytes(tmp_path, kind):
    content = encoded(1)
    made = pyarrow.binary(len(content)) if kind == "fixed" else getattr(pyarrow, kind)()
    path = table(tmp_path / "images.parquet", image=pyarrow.array([content], made))
    (unit,) = Units([str(path)])
    (image,) = unit.images(lambda name: False)
    np.testing.assert_array_equal(image.read(), read_encoded(content, "a.jpg"))


def test_bytes_that_are_none_are_no_images(tmp_path):
    for number, values in enumerate(([{"bytes": "text"}], [{"bytes": 5}], [{"path": "a.jpg"}])):
        with pytest.raises(InputError, match="no column of images or paths"):
            names([table(tmp_path / f"{number}.parquet", image=values)])
    content = encoded(1)
    path = table(tmp_path / "number.parquet", image=[{"bytes": content, "path": 7}])
    assert score(path, tmp_path / "out")["image"].tolist() == ["0"]


def test_a_small_file_does_not_fill_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "bomb.parquet"
    content = [bytes([number]) * 1_000_000 for number in range(4)]
    images = pyarrow.table({"image": content})
    pyarrow.parquet.write_table(images, path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 40_000
    monkeypatch.setattr("grmp_plugin.data.image_tables._MOST_UNPACKED", 1_000_000)
    frame = score(path, tmp_path / "out")
    assert frame["image"].tolist() == [str(path)]
    assert "column 'image' would unpack to 0.0 GB" in frame["error"][0]
    monkeypatch.setattr("grmp_plugin.data.tars._LARGEST", 1_000_000)
    archive = tar(tmp_path / "large.tar", [("a.png", bytes(2_000_000)), ("b.jpg", encoded(1))])
    frame = score(archive, tmp_path / "tar")
    assert frame["image"].tolist() == ["a", "b"]
    assert "larger than" in frame["error"][0]
    assert frame["score"][1] is not None


def test_shards_without_images_say_so(tmp_path):
    archive = tar(tmp_path / "a.tar", [("notes.txt", b"no image")])
    empty = table(tmp_path / "b.parquet", image=pyarrow.array([], pyarrow.binary()))
    frame = score([str(archive), str(empty)], tmp_path / "out")
    assert frame["image"].tolist() == [str(archive), str(empty)]
    assert frame["error"].tolist() == ["no images in it"] * 2


# --- archives and tables ----------------------------------------------------------------------------


def test_members_of_a_tar(tmp_path):
    good = encoded(1)
    path = tar(
        tmp_path / "a.tar",
        [
            ("000/1.jpg", good),
            ("000/1.json", b"{}"),
            ("000/1.txt", b"caption"),
            ("000/2.seg.png", encoded(2, "PNG")),
            ("3.jpg", good[: len(good) // 2]),
            ("4.jpg", b""),
            ("5.jpg", b"no image"),
            ("000/1.png", encoded(3, "PNG")),
        ],
    )
    frame = score(path, tmp_path / "out").set_index("image")
    assert list(frame.index) == ["000/1", "000/2", "3", "4", "5", "000/1.png"]
    assert frame["score"].notna().tolist() == [True, True, False, False, False, True]
    assert frame["error"]["3"].startswith("truncated")
    assert frame["error"]["4"] == "empty file"
    assert frame["error"]["5"] == "not an image, or of an unsupported format"
    for before, after in (("a.tar", "b.tar.gz"),):
        assert names([tmp_path / before]) == names([tar(tmp_path / after, _members(tmp_path / before))])


def _members(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive]


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_tar_that_breaks_off_gives_what_it_held(tmp_path, suffix):
    whole = tar(
        tmp_path / f"whole{suffix}", [(f"{number}.png", encoded(number, "PNG")) for number in range(8)]
    )
    broken = tmp_path / f"broken{suffix}"
    content = whole.read_bytes()
    broken.write_bytes(content[: len(content) * 2 // 3])
    frame = score(broken, tmp_path / "out")
    scored = frame[frame["score"].notna()]
    assert 3 <= len(scored) < 8
    assert scored["image"].tolist() == [str(number) for number in range(len(scored))]
    last = frame.iloc[-1]
    assert last["image"] == last["source"] == str(broken)
    assert "truncated" in last["error"]
    # The rest comes when the archive is whole, and nothing is left of the broken one.
    broken.write_bytes(content)
    saved = grmp.score(str(broken), out=tmp_path / "out", resume=True)
    assert (saved.images, saved.failed, saved.changed) == (8, 0, 1)


def test_shards_that_are_none(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no archive at all")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and nothing else")
    sources = [str(tmp_path / name) for name in ("a.tar", "b.parquet", "missing.tar", "missing.parquet")]
    frame = score(sources, tmp_path / "out")
    assert frame["image"].tolist() == sources
    assert frame["error"].tolist() == [
        "not a tar archive, or a damaged one",
        "truncated, or not a Parquet file: its end is missing",
        "no such file",
        "no such file",
    ]


def test_rows_of_a_table(tmp_path):
    rows = [
        {"bytes": encoded(1), "path": "a.jpg"},
        {"bytes": encoded(2), "path": "a.jpg"},
        {"bytes": None, "path": "b.jpg"},
        {"bytes": encoded(3), "path": None},
        None,
        {"bytes": b"no image", "path": "c.jpg"},
    ]
    frame = score(table(tmp_path / "a.parquet", label=list(range(6)), image=rows), tmp_path / "out")
    assert frame["image"].tolist() == ["a.jpg", "1", "b.jpg", "3", "4", "c.jpg"]
    assert frame["score"].notna().tolist() == [True, True, False, True, False, False]
    assert frame["error"][2] == "no bytes in this row"


def test_shards_are_gone_on_with_in_the_middle(tmp_path, monkeypatch):
    path = tar(tmp_path / "a.tar", [(f"{number}.jpg", encoded(number)) for number in range(40)])
    expected = score(path, tmp_path / "whole")

    def stop(progress):
        if progress.done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grmp.score(str(path), out=tmp_path / "out", progress=stop)
    assert [one.state for one in grmp.shards(tmp_path / "out")] == ["not complete"]
    saved = grmp.score(str(path), out=tmp_path / "out", resume=True)
    assert (saved.images, saved.scored) == (40, 23)
    resumed = saved.to_pandas()
    assert resumed["image"].tolist() == expected["image"].tolist()
    np.testing.assert_allclose(resumed["score"], expected["score"], atol=1e-5)
    # A shard that is finished is not opened again.
    monkeypatch.setattr(tarfile, "open", None)
    assert grmp.score(str(path), out=tmp_path / "out", resume=True).scored == 0


# --- addresses --------------------------------------------------------------------------------------


def test_addresses(photos, tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for number in range(3):
        memory.pipe(f"/bucket/deep/{number}.jpg", encoded(number))
    memory.pipe("/bucket/notes.txt", b"mine")
    memory.pipe("/bucket/list.csv", b"url\ndeep/1.jpg\ndeep/none.jpg\nmemory://bucket/deep/2.jpg\n")
    memory.pipe("/bucket/a.tar", tar(tmp_path / "a.tar", [("x.jpg", encoded(7))]).read_bytes())
    expected = grmp.score(str(photos)).scores
    frame = score("memory://bucket", tmp_path / "folder")
    assert frame["image"].tolist() == [f"memory:///bucket/deep/{number}.jpg" for number in range(3)]
    np.testing.assert_allclose(frame["score"], expected, atol=1e-5)
    assert len(score("memory://bucket/deep/[01].jpg", tmp_path / "pattern")) == 2
    assert score("memory://bucket/a.tar", tmp_path / "tar")["image"].tolist() == ["x"]
    listed = score("memory://bucket/list.csv", tmp_path / "list")
    assert listed["error"].tolist() == [None, "no such file", None]
    # A file that has changed is scored again.
    memory.pipe("/bucket/deep/1.jpg", encoded(9) + b"\0")
    saved = grmp.score("memory://bucket", out=tmp_path / "folder", resume=True)
    assert (saved.images, saved.scored, saved.changed) == (3, 1, 1)


def test_archives_by_address(photos, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in photos.iterdir():
            archive.write(path, f"in/{path.name}")
    frame = score(f"zip://in/*.jpg::file://{tmp_path}/a.zip", tmp_path / "out")
    assert frame["image"].tolist() == [f"zip://in/{n}.jpg::file://{tmp_path}/a.zip" for n in range(3)]
    assert frame["error"].isna().all()


@pytest.mark.parametrize("address", ["nonsense://a/b.jpg", "memory://none/", "memory://none/*.jpg"])
def test_addresses_that_cannot_be_used(address, tmp_path):
    if address == "memory://none/":
        frame = score(address, tmp_path / "out")
        assert frame["error"].tolist() == ["no such file"]
        return
    with pytest.raises(InputError, match=r"nonsense|no images"):
        score(address, tmp_path / "out")


# --- decoding from memory ---------------------------------------------------------------------------


def test_bytes_are_decoded_as_files_are(broken_folder):
    folder, _ = broken_folder

    def outcome(read):
        try:
            return read().tobytes()
        except ImageError as problem:
            return str(problem)

    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    assert len(paths) > 5
    for path in paths:
        content = path.read_bytes()
        assert outcome(partial(read_encoded, content, path.name)) == outcome(partial(read_image, path)), path


# --- the folder -------------------------------------------------------------------------------------


def test_arrays_are_refused_with_a_reason(tmp_path):
    with pytest.raises(InputError, match="arrays and Pillow images"):
        grmp.score([np.zeros((8, 8, 3), np.uint8)], out=tmp_path / "out")
    with pytest.raises(InputError, match=r"folder or a \.parquet file"):
        grmp.score("x.jpg", out=tmp_path / "x.csv")
    with pytest.raises(InputError, match="only for scores that are written as they come"):
        grmp.score("x.jpg", shard=(0, 2))


def test_every_image_is_in_one_shard(photos, tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{number}.jpg\n" for number in range(300)))
    counts = [
        grmp.score(str(tmp_path / "list.txt"), out=tmp_path / "out", shard=(i, 4)).images for i in range(4)
    ]
    assert sum(counts) == 300
    assert min(counts) > 40
    frame = pandas.read_parquet(tmp_path / "out")
    assert sorted(frame["image"]) == sorted(f"{number}.jpg" for number in range(300))
    assert [one.state for one in grmp.shards(tmp_path / "out")] == ["complete"] * 4


def test_a_missing_part_is_noticed(photos, tmp_path):
    score(photos, tmp_path / "out")
    next((tmp_path / "out").glob("part-*")).unlink()
    assert [one.state for one in grmp.shards(tmp_path / "out")] == ["damaged"]
    assert grmp.score(str(photos), out=tmp_path / "out", resume=True).scored == 3


def test_names_that_are_not_utf_8(photos, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for byte in (b"\xe8", b"\xe9"):
        with open(bytes(raw) + b"/" + byte + b".jpg", "wb") as file:
            file.write(encoded(1))
    frame = score(raw, tmp_path / "out")
    assert frame["image"].tolist() == [f"{raw}/\\udce8.jpg", f"{raw}/\\udce9.jpg"]
    assert frame["error"].isna().all()
    assert grmp.score(str(raw), out=tmp_path / "out", resume=True).scored == 0


def test_two_processes_do_not_write_the_same_shard(photos, tmp_path):
    def second(progress):
        if progress.done == 1:
            with pytest.raises(InputError, match="another process"):
                grmp.score(str(photos), out=tmp_path / "out", resume=True)

    assert grmp.score(str(photos), out=tmp_path / "out", progress=second).images == 3
