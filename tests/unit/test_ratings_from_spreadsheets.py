"""Ratings as spreadsheets write them: decimal commas, `sep=`, workbooks, stray spaces."""

import sys
import zipfile

import numpy as np
import pandas
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.api.compare_inputs import means_ratings
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.errors import InputError

NAMES = ("a.png", "b.png", "c.png")
EXCEL = "an Excel workbook: save the ratings as CSV UTF-8"


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(NAMES):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / name)
    return tmp_path


def read(folder, text, **options):
    (folder / "ratings.csv").write_bytes(text.encode())
    return read_ratings(folder / "ratings.csv", **options)


def error_of(folder, text, **options):
    with pytest.raises(InputError) as caught:
        read(folder, text, **options)
    return caught.value.message


# Decimal commas


@pytest.mark.parametrize("mark", [";", "\t"])
@pytest.mark.parametrize(
    ("cells", "mos"),
    [
        (("4,67", "3,5", "1"), (4.67, 3.5, 1)),
        (("-0,5", "+,5", "1,5E+01"), (-0.5, 0.5, 15)),
        (("1,503", "4,67", "2"), (1.503, 4.67, 2)),
        (("0,503", "0,25", "0,125"), (0.503, 0.25, 0.125)),
    ],
)
def test_decimal_commas(folder, mark, cells, mos):
    rows = "".join(f"{name}{mark}{cell}\r\n" for name, cell in zip(NAMES, cells, strict=True))
    np.testing.assert_allclose(read(folder, f"image{mark}mos\r\n{rows}").mos, mos)


def test_every_column_of_numbers_has_its_own_mark(folder):
    text = "image;mos;std;raters\na.png;4,5;0.5;20\nb.png;3,5;0.25;20,0\nc.png;2;1;18\n"
    ratings = read(folder, text)
    np.testing.assert_array_equal(ratings.mos, [4.5, 3.5, 2])
    np.testing.assert_array_equal(ratings.deviations, [0.5, 0.25, 1])
    np.testing.assert_array_equal(ratings.raters, [20, 20, 18])


def test_three_decimals_between_semicolons(folder):
    """Semicolons are used because the comma is the decimal one."""
    np.testing.assert_array_equal(
        read(folder, "image;mos\na.png;1,503\nb.png;2,250\nc.png;3,000\n").mos, [1.503, 2.25, 3]
    )


@pytest.mark.parametrize(
    "text",
    [
        "image\tmos\na.png\t1,503\nb.png\t2,250\nc.png\t900\n",
        'image,mos\na.png,"1,503"\nb.png,2\nc.png,3\n',
        "image;mos\na.png;1,503\nb.png;2.5\nc.png;3\n",
    ],
)
def test_thousands_are_not_taken_for_decimals(folder, text):
    message = error_of(folder, text)
    assert "'1,503'; write it without a comma, and with a point if it has decimals" in message
    assert "1.503" not in message


def test_doubt_is_refused(folder):
    assert "'4,67'; write 4.67" in error_of(folder, "image;mos\na.png;4,67\nb.png;2.5\nc.png;3\n")
    assert "'4,67'; write 4.67" in error_of(folder, 'image,mos\na.png,"4,67"\nb.png,2.5\nc.png,3\n')
    assert "'1.234,5'" in error_of(folder, "image;mos\na.png;1.234,5\nb.png;2\nc.png;3\n")


# The line that names the separator


@pytest.mark.parametrize("first", ["sep=;\r\n", "SEP=;\n", '"sep=;"\r\n', "\ufeffsep=;\r\n"])
def test_separator_line(folder, first):
    ratings = read(folder, f"{first}image;mos\r\na.png;4.5\r\nb.png;3\r\nc.png;2\r\n")
    np.testing.assert_array_equal(ratings.mos, [4.5, 3, 2])
    message = error_of(folder, f"{first}image;mos\r\na.png;4.5\r\nb.png;x\r\nc.png;2\r\n")
    assert "line 4: 'b.png'" in message  # as an editor counts


def test_separator_line_with_another_mark(folder):
    np.testing.assert_array_equal(
        read(folder, "sep=|\nimage|mos\na.png|4,5\nb.png|3\nc.png|2\n").mos, [4.5, 3, 2]
    )


# Spaces around names


def test_spaces_that_belong_to_a_name_are_kept(folder):
    for name in ("\u00a0x.png", " y.png"):
        Image.new("RGB", (4, 4)).save(folder / name)
    ratings = read(folder, 'image,mos\n\u00a0x.png,1\n" y.png",2\na.png,3\n')
    assert [path.removeprefix(f"{folder}/") for path in ratings.images] == ["\u00a0x.png", " y.png", "a.png"]


def test_spaces_that_do_not_belong_are_dropped(folder):
    ratings = read(
        folder, "\u00a0image , mos\n\u00a0a.png,\u00a01\n b.png ,2 \n\u00a0,\u00a0\nc.png\u00a0,3\n"
    )
    assert [path.removeprefix(f"{folder}/") for path in ratings.images] == list(NAMES)
    np.testing.assert_array_equal(ratings.mos, [1, 2, 3])


# Workbooks and other tables


def fake_workbook(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
        archive.writestr("[Content_Types].xml", "<x/>")
    return path


@pytest.fixture
def no_openpyxl(monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)


@pytest.mark.parametrize("name", ["ratings.xlsx", "ratings.csv", "ratings.dat"])
def test_workbook_is_no_picture(folder, name, no_openpyxl):
    """By its suffix or its content: from Python and for all commands that take ratings."""
    file = fake_workbook(folder / name)
    for call in (
        lambda: read_ratings(file),
        lambda: grmp.compare(file, "entropy"),
        lambda: grmp.compare([str(file)], "entropy", images_folder=folder),
        lambda: grmp.adapt(file),
    ):
        with pytest.raises(InputError, match="an Excel workbook") as caught:
            call()
        assert EXCEL in caught.value.message
        assert str(file) in caught.value.message


def test_workbook_is_read_where_pandas_can(folder, monkeypatch):
    """What `pandas.read_excel` returns without a header: rows of a sheet."""
    sheet = pandas.DataFrame(
        [["image", "mos", ""], ["a.png", 4.5, ""], ["", "", ""], ["NA", 2, ""], ["b.png", 3, ""]]
    )
    monkeypatch.setattr(pandas, "read_excel", lambda *arguments, **options: sheet)
    ratings = read_ratings(fake_workbook(folder / "ratings.xlsx"), skip_bad=True)
    np.testing.assert_array_equal(ratings.mos, [4.5, 3])
    assert [(row.row, row.image) for row in ratings.skipped] == [(4, "NA")]


def test_real_workbook(folder):
    pytest.importorskip("openpyxl")
    frame = pandas.DataFrame({"image": NAMES, "mos": [4.5, 3, 2]})
    frame.to_excel(folder / "ratings.xlsx", index=False)
    np.testing.assert_array_equal(read_ratings(folder / "ratings.xlsx").mos, [4.5, 3, 2])
    fake_workbook(folder / "torn.xlsx")
    with pytest.raises(
        InputError, match=r"an Excel workbook that cannot be read \(.*\): save the ratings as CSV"
    ):
        read_ratings(folder / "torn.xlsx")


def test_parquet(folder):
    frame = pandas.DataFrame({"image": NAMES, "mos": [4.5, 3, 2], "std": [0.5, None, 1]})
    for name in ("ratings.parquet", "ratings.pq"):
        frame.to_parquet(folder / name)
        assert means_ratings([str(folder / name)])
        ratings = read_ratings(folder / name)
        np.testing.assert_array_equal(ratings.mos, [4.5, 3, 2])
        np.testing.assert_array_equal(ratings.deviations, [0.5, np.nan, 1])
    (folder / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="a Parquet file that cannot be read"):
        read_ratings(folder / "torn.parquet")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("r.json", "a JSON file: save the ratings as CSV UTF-8"),
        ("r.jsonl", "a JSON Lines file: save"),
        ("r.numbers", "a Numbers spreadsheet: save"),
        ("gone.xlsx", "no such file"),
    ],
)
def test_other_tables(folder, name, words):
    if name != "gone.xlsx":
        (folder / name).write_text("[]")
    for call in (grmp.compare, grmp.adapt):
        with pytest.raises(InputError, match=words):
            call(folder / name)


def test_old_workbook(folder):
    (folder / "ratings.csv").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100)
    with pytest.raises(InputError, match="an Excel 97 workbook: save the ratings as CSV UTF-8"):
        read_ratings(folder / "ratings.csv")


def test_pictures_are_no_tables(folder):
    assert not means_ratings([str(folder / "a.png")])
    assert not means_ratings([str(folder)])
