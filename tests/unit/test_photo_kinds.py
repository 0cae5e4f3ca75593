"""Kinds of photographs that cameras and phones write: read, refused with a reason, or counted; never lost."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_files import PREVIEW, SENSOR, dng

import grmp_plugin as grmp
from grmp_plugin.api.images import find_images
from grmp_plugin.data import jpeg_xl, kinds
from grmp_plugin.data.images import pillow_pixels, read_image
from grmp_plugin.data.left_out import left_out_words
from grmp_plugin.data.paths import expand_paths, find_paths
from grmp_plugin.errors import ImageError, InputError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
AVIF = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"
PLUGINS = ("pillow_heif", "pillow_jxl", "rawpy")


@pytest.fixture
def plain(monkeypatch):
    """An installation without optional packages."""
    monkeypatch.setattr(kinds, "_has_module", lambda name: False)


def smooth():
    """A smooth picture without symmetry, (60, 80, 3) uint8."""
    y, x = np.mgrid[0:60, 0:80]
    return np.stack([x * 3, y * 4, x + y], -1).astype(np.uint8)


def refusal(path, content, **options):
    """The reason why a file with this content is not read."""
    Path(path).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    assert len(str(caught.value)) < 140
    return str(caught.value)


# --- what a search leaves out ---------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, monkeypatch, plain):
    monkeypatch.chdir(tmp_path)
    os.makedirs("photos/raw")
    Image.fromarray(smooth()).save("photos/IMG_0001.JPG")
    Image.fromarray(smooth()).save("photos/IMG_0009.mpo", save_all=True, append_images=[])
    for name in ("2.HEIC", "3.heic", "4.jxl", "raw/5.NEF", "raw/6.CR3", "7.exr", "8.mov", "notes.txt"):
        Path("photos", name).write_bytes(b"II*\0")
    return tmp_path


UNREAD = {"HEIC": 2, "JXL": 1, "NEF": 1, "CR3": 1, "EXR": 1}


@pytest.mark.parametrize("argument", ["photos", "photos/**", "phot*"])
def test_unread_kinds_are_counted(photos, argument):
    found = find_paths([argument])
    assert found.paths == ["photos/IMG_0001.JPG", "photos/IMG_0009.mpo"]
    assert found.left_out == UNREAD
    assert expand_paths([argument]) == found.paths


def test_each_file_is_counted_once_and_folders_as_searched(photos):
    assert find_paths(["photos", "./photos/", "photos/*"]).left_out == UNREAD
    assert find_paths(["photos"], recursive=False).left_out == {"HEIC": 2, "JXL": 1, "EXR": 1}
    assert find_images(["photos", "photos/IMG_0001.JPG"]).left_out == UNREAD


def test_named_files_and_spelt_suffixes_are_kept(photos):
    assert expand_paths(["photos/2.HEIC", "photos/*.jxl"]) == ["photos/2.HEIC", "photos/4.jxl"]
    found = find_paths(["photos", "photos/2.HEIC"])
    assert found.paths[-1] == "photos/2.HEIC"
    assert found.left_out == UNREAD | {"HEIC": 1}


def test_nothing_but_unread_kinds_is_an_error_that_names_them(photos):
    with pytest.raises(InputError) as caught:
        find_paths(["photos/raw"])
    text = str(caught.value)
    assert "'photos/raw'" in text
    assert "1 CR3, 1 NEF" in text
    assert "grmp-iqa[raw]" in text


def test_a_folder_of_unread_kinds_does_not_keep_others_from_being_scored(photos):
    found = find_paths(["photos/IMG_0001.JPG", "photos/raw"])
    assert found.paths == ["photos/IMG_0001.JPG"]
    assert found.left_out == {"NEF": 1, "CR3": 1}


def test_words(plain):
    assert left_out_words({}) == []
    (line,) = left_out_words({"HEIC": 1, "JXL": 1, "NEF": 1})
    assert line.startswith("3 files of kinds that are not read were left out: 1 HEIC, 1 JXL, 1 NEF")
    assert line.endswith("(pip install 'grmp-iqa[heif,jxl,raw]')")
    assert left_out_words({"EXR": 1}) == ["1 file of a kind that is not read was left out: 1 EXR"]
    assert left_out_words({"quality map": 2}) == ["2 quality maps were left out"]


def test_installed_packages_make_kinds_read(monkeypatch):
    monkeypatch.setattr(kinds, "_has_module", lambda name: name == "pillow_heif")
    assert kinds.is_read("a.HEIC")
    assert kinds.unread_kind("a.heif") is None
    assert kinds.unread_kind("a.nef") == "NEF"
    assert not kinds.is_read("a.jxl")


@pytest.mark.parametrize("reads", [True, False])
def test_avif_depends_on_pillow(monkeypatch, tmp_path, reads):
    monkeypatch.setattr("grmp_plugin.data.kinds.pillow_reads_avif", lambda: reads)
    monkeypatch.setattr("grmp_plugin.data.photo_plugins.pillow_reads_avif", lambda: reads)
    assert kinds.is_read("a.avif") == reads
    assert kinds.unread_kind("a.avif") == (None if reads else "AVIF")
    assert ("11.3 or later" in refusal(tmp_path / "a.avif", AVIF)) == (not reads)


def test_every_unread_suffix_has_a_kind(plain):
    for suffix in (*kinds.RAW_SUFFIXES, ".heic", ".heif", ".hif", ".jxl"):
        assert kinds.unread_kind("a" + suffix) == suffix[1:].upper()
        assert kinds.extra_of(suffix[1:].upper()) is not None
    assert not kinds.IMAGE_SUFFIXES & kinds.RAW_SUFFIXES


# --- files of these kinds without the packages ----------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "extra"),
    [
        (HEIC, "HEIC", "heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC", "heif"),
        (b"\xff\x0a", "JPEG XL", "jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "jxl"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "raw photo", "raw"),
        (b"FUJIFILMCCD-RAW 0201", "raw photo", "raw"),
        (b"IIRO\x08\0\0\0", "raw photo", "raw"),
        (b"IIU\0\x08\0\0\0", "raw photo", "raw"),
        (b"II*\0\x10\0\0\0CR\x02\0", "raw photo", "raw"),
    ],
)
def test_the_package_is_named(plain, tmp_path, content, kind, extra):
    message = refusal(tmp_path / "photo.jpg", content)
    assert message.startswith(f"{kind}: not supported without")
    assert f"grmp-iqa[{extra}]" in message


# --- raw photos -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.dng", dng()),
        ("a.tif", dng()),
        ("a.NEF", dng(marked=False)),
        ("a.tif", dng(marked=False)),
        ("a.nef", b"II*\0"),
    ],
)
def test_a_raw_photo_is_not_read_by_its_preview(plain, tmp_path, name, content):
    assert "raw photo" in refusal(tmp_path / name, content)


def test_the_preview_of_a_raw_photo_that_pillow_opened_is_refused(tmp_path):
    (tmp_path / "a.dng").write_bytes(dng())
    with Image.open(tmp_path / "a.dng") as opened, pytest.raises(ImageError, match="only its preview"):
        pillow_pixels(opened)


def test_a_raw_photo_is_an_error_row(plain, tmp_path):
    (tmp_path / "a.dng").write_bytes(dng())
    Image.fromarray(smooth()).save(tmp_path / "b.png")
    scores = grmp.score([tmp_path / "a.dng", tmp_path / "b.png"], device="cpu")
    assert [row.score is None for row in scores.results] == [True, False]
    assert "raw photo" in str(scores.results[0].error)


@pytest.mark.parametrize("suffix", [".nef", ".tif", ".raw"])
def test_a_jpeg_is_a_jpeg_whatever_its_suffix(plain, tmp_path, suffix):
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), smooth())


def test_a_tiff_with_its_preview_first_is_read_by_its_picture(tmp_path):
    small, large = Image.fromarray(smooth()).resize((20, 15)), Image.fromarray(smooth())
    for kind, pages in (
        ("preview first", [(small, 1), (large, 0)]),
        ("picture first", [(large, 0), (small, 1)]),
        ("only page", [(large, 1)]),
    ):
        from PIL.TiffImagePlugin import AppendingTiffWriter

        with AppendingTiffWriter(str(tmp_path / "a.tif"), True) as file:
            for page, reduced in pages:
                page.save(file, "TIFF", tiffinfo={254: reduced})
                file.newFrame()
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), smooth(), err_msg=kind)


def test_a_tiff_whose_picture_is_below_its_preview_is_refused(tmp_path):
    assert "preview" in refusal(tmp_path / "a.tif", dng(marked=False, sensor=False))


def test_rawpy_develops_the_sensor_values(tmp_path):
    pytest.importorskip("rawpy")
    for name, marked in (("a.dng", True), ("a.tif", True)):
        (tmp_path / name).write_bytes(dng(marked=marked))
        result = read_image(tmp_path / name)
        assert result.shape == (*SENSOR, 3) != (*PREVIEW, 3)
        assert result.dtype == np.uint8
        assert result[:, -20:].mean() > result[:, :20].mean() + 50
    assert f"{SENSOR[1]} x {SENSOR[0]}" in refusal(tmp_path / "a.dng", dng(), pixel_limit=100)
    assert "raw photo" in refusal(tmp_path / "a.dng", dng()[:3000])


# --- plugins --------------------------------------------------------------------------------------


def test_heic(tmp_path):
    plugin = pytest.importorskip("pillow_heif")
    path, turned = tmp_path / "a.heic", Image.Exif()
    turned[0x0112] = 6
    for exif, expected in ((b"", smooth()), (turned.tobytes(), np.rot90(smooth(), -1))):
        options = {"exif": exif} if exif else {}
        plugin.from_pillow(Image.fromarray(smooth())).save(path, quality=95, **options)
        result = read_image(path)
        assert result.shape == expected.shape
        assert np.abs(result.astype(int) - expected).mean() < 2
    whole = path.read_bytes()
    assert "above the limit" in refusal(path, whole, pixel_limit=100)
    assert "HEIC" in refusal(path, whole[: len(whole) // 2])
    assert expand_paths([str(tmp_path)]) == [str(path)]


def test_jpeg_xl(tmp_path):
    pytest.importorskip("pillow_jxl")
    path = tmp_path / "a.jxl"
    Image.fromarray(smooth()).save(path, lossless=True)
    np.testing.assert_array_equal(read_image(path), smooth())
    whole = path.read_bytes()
    assert "80 x 60" in refusal(path, whole, pixel_limit=100)
    assert "JPEG XL" in refusal(path, whole[: len(whole) // 2])


# --- the size of a JPEG XL image, before it is decoded --------------------------------------------


def bits(*fields):
    """Numbers as (value, bits), lowest bit first."""
    value, at = 0, 0
    for number, count in fields:
        value |= number << at
        at += count
    return b"\xff\x0a" + value.to_bytes(-(-at // 8), "little")


def box(kind, body, *, long=False):
    if long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), kind) + body


SIGNATURE = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (bits((1, 1), (7, 5), (1, 3)), (64, 64)),
        (bits((1, 1), (7, 5), (0, 3), (31, 5)), (256, 64)),
        (bits((0, 1), (0, 2), (299, 9), (0, 3), (0, 2), (399, 9)), (400, 300)),
        (bits((0, 1), (1, 2), (2999, 13), (3, 3)), (4000, 3000)),
        (bits((0, 1), (2, 2), (99_999, 18), (5, 3)), (177_777, 100_000)),
        (bits((0, 1), (3, 2), ((1 << 30) - 1, 30), (0, 3), (3, 2), (0, 30)), (1, 1 << 30)),
    ],
)
def test_size_of_jpeg_xl(header, expected):
    padded = header + b"\0" * 8
    files = [
        padded,
        SIGNATURE + box(b"jxlc", padded),
        SIGNATURE + box(b"Exif", b"\0" * 40) + box(b"jxlp", b"\0\0\0\0" + padded, long=True),
    ]
    for content in files:
        assert jpeg_xl.size(io.BytesIO(content)) == expected


@pytest.mark.parametrize(
    "content",
    [b"\xff\x0a", SIGNATURE, SIGNATURE + box(b"Exif", b"")[:5], SIGNATURE + struct.pack(">I4s", 0, b"Exif")],
)
def test_no_size_in_jpeg_xl(content):
    with pytest.raises(ImageError, match="JPEG XL"):
        jpeg_xl.size(io.BytesIO(content))


@pytest.mark.parametrize("plugin", PLUGINS)
def test_extras_install_what_reads_the_kinds(plugin):
    (extra,) = (one for one in (kinds.HEIF, kinds.JPEG_XL, kinds.RAW) if one.module == plugin)
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'{extra.extra} = ["{extra.package}>=' in text
