"""A CSV of ratings becomes arrays, or an error that names the row and the argument that helps."""

import csv
import io
import math
import re

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.data.ratings import DECLARED, KNOWN_RANGE, SHOTS_RANGE, BadRow, MosScale, Ratings
from grmp_plugin.data.ratings_file import read_ratings
from grmp_plugin.data.reference_names import parse_name, references_of
from grmp_plugin.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def png():
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def make(tmp_path, png):
    """Write ratings.csv and the images that stand beside it; return the file's path."""

    def write(content, images=(), *, name="ratings.csv"):
        for image in images:
            path = tmp_path / image
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png)
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def names_of(ratings, folder):
    return [str(image).removeprefix(f"{folder}/") for image in ratings.images]


def failure_of(path, **options):
    with pytest.raises(InputError) as caught:
        read_ratings(path, **options)
    assert "--" not in caught.value.message  # options are the command's
    return caught.value


def error_of(path, **options):
    return failure_of(path, **options).message


ABC = ("a.png", "b.png", "c.png")


# --- what is read ---------------------------------------------------------------------------------


def test_plain_file(make, tmp_path):
    path = make("image,mos\na.png,3.25\nb.png,1\nc.png,4.5e0\n", ABC)
    ratings = read_ratings(path)
    assert ratings.source == str(path)
    assert ratings.images == tuple(str(tmp_path / name) for name in ABC)
    assert ratings.mos.dtype == np.float64
    np.testing.assert_array_equal(ratings.mos, [3.25, 1, 4.5])
    assert ratings.references is None
    assert ratings.references_source == ""
    assert ratings.lower_better is False
    assert ratings.mos_range is None
    assert ratings.splits == {}
    assert ratings.skipped == ()


def test_random_tables_come_back(make, tmp_path):
    """Everything that the csv module writes, in any dialect, is read back."""
    rng = np.random.default_rng(0)
    names = [f"f{i}/im ä{i},;'x.png" for i in range(12)]
    for delimiter in ",;\t":
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC):
            mos = rng.normal(50, 20, len(names))
            stream = io.StringIO()
            writer = csv.writer(stream, delimiter=delimiter, quoting=quoting)
            writer.writerow(["note", "score", "img"])
            writer.writerows(zip([f"{delimiter}n" for _ in names], mos.tolist(), names, strict=True))
            ratings = read_ratings(make(stream.getvalue(), names))
            np.testing.assert_array_equal(ratings.mos, mos)
            assert names_of(ratings, tmp_path) == names


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark(make, end, start):
    content = start + f"image,mos{end}a.png,1{end}b.png,2{end}c.png,x{end}".encode()
    assert "line 4: 'c.png'" in error_of(make(content, ABC))


@pytest.mark.parametrize(
    "image", ["Image", "IMG", "name", "filename", "file", "path", "image_name", "dist_name", "dist_img"]
)
@pytest.mark.parametrize("mos", ["MOS", "score", "Rating", "mean"])
def test_usual_names(make, image, mos):
    ratings = read_ratings(make(f"{image},std,{mos}\na.png,9,1\nb.png,8,2\n", ABC))
    np.testing.assert_array_equal(ratings.mos, [1, 2])


def test_named_columns(make, tmp_path):
    path = make("mos,name,Opinion,Photo\n7,x,1,a.png\n8,y,2,b.png\n", ABC)
    ratings = read_ratings(path, image_column="Photo", mos_column="opinion")
    assert names_of(ratings, tmp_path) == ["a.png", "b.png"]
    np.testing.assert_array_equal(ratings.mos, [1, 2])


def test_a_column_of_just_that_name_wins(make):
    path = make("image,Q,q\na.png,1,5\nb.png,2,6\n", ABC)
    np.testing.assert_array_equal(read_ratings(path, mos_column="q").mos, [5, 6])
    np.testing.assert_array_equal(read_ratings(path, mos_column="Q").mos, [1, 2])


def test_a_separator_inside_a_name_of_a_column(make):
    path = make("image;note,more;mos\na.png;x;1\nb.png;y,z;2\n", ABC)
    np.testing.assert_array_equal(read_ratings(path).mos, [1, 2])
    path = make("image,note;more,mos\na.png,x,1\nb.png,y;z,2\n", ABC)
    np.testing.assert_array_equal(read_ratings(path).mos, [1, 2])


def test_pandas_index_column_and_empty_columns_at_the_right(make):
    path = make(",image,mos,,\n0,a.png,1\n1,b.png,2,,\n2,c.png,3,,,,\n", ABC)
    np.testing.assert_array_equal(read_ratings(path).mos, [1, 2, 3])
    path = make("\timage\tmos\n0\ta.png\t1\n1\tb.png\t2\n", ABC)
    np.testing.assert_array_equal(read_ratings(path).mos, [1, 2])


def test_blanks_around_cells(make):
    path = make('image , note, mos\na.png , "x, y", 1 \n"b.png", z,\t2\n', ABC)
    np.testing.assert_array_equal(read_ratings(path).mos, [1, 2])


def test_lines_are_counted_as_an_editor_does(make):
    content = '\nimage,note,mos\n\na.png,"two\nlines",1\n , , \nb.png,x,2\n"c.png","\n\n",bad\nd.png,,worse\n'
    message = error_of(make(content, (*ABC, "d.png")))
    assert "2 of 4 rows" in message
    assert "line 8: 'c.png'" in message
    assert "line 11: 'd.png'" in message


def test_images_folder(make, tmp_path):
    path = make("image,mos\nin/a.png,1\nin/b.png,2\n", ("photos/in/a.png", "photos/in/b.png"))
    ratings = read_ratings(path, images_folder=tmp_path / "photos")
    assert names_of(ratings, tmp_path) == ["photos/in/a.png", "photos/in/b.png"]


def test_paths_stay_relative_and_absolute(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(f"image,mos\nin/a.png,1\n{tmp_path}/b.png,2\n", ("in/a.png", "b.png"))
    assert read_ratings("ratings.csv").images == ("in/a.png", f"{tmp_path}/b.png")
    assert read_ratings("ratings.csv", images_folder=tmp_path).images[1] == f"{tmp_path}/b.png"


def test_backslashes_from_windows(make, tmp_path):
    path = make("image,mos\nin\\deep\\a.png,1\nodd\\name.png,2\n", ("in/deep/a.png", "odd\\name.png"))
    assert names_of(read_ratings(path), tmp_path) == ["in/deep/a.png", "odd\\name.png"]


def test_declared_range(make):
    ratings = read_ratings(make("image,mos\na.png,1\nb.png,5\n", ABC), mos_range=(1, 5))
    assert ratings.mos_range == (1.0, 5.0)
    assert ratings.range_source == DECLARED


# --- pyiqa's meta_info ----------------------------------------------------------------------------


def test_meta_info_without_references(make, tmp_path):
    """KonIQ-10k's header, whose official split has longer words."""
    path = make(
        "img_name,mos,std,official_split,c1,ratio802_seed123_split_01\n"
        "a.png,77.4,0.5,training,0.0,train\n"
        "b.png,68.7,0.6,test,0.1,val\n"
        "c.png,50.0,0.6,Validation,0.1,test\n",
        ABC,
    )
    ratings = read_ratings(path)
    assert names_of(ratings, tmp_path) == list(ABC)
    assert ratings.splits == {
        "official_split": ("train", "test", "val"),
        "ratio802_seed123_split_01": ("train", "val", "test"),
    }
    assert ratings.references is None


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("ref_name,dist_name,mos,std", "ref_name"),
        ("ref_img_name,dist_img_name,mos,std", "ref_img_name"),
        ("hq_name,dist_name,elo_score,std", "hq_name"),
    ],
)
def test_meta_info_with_references(make, tmp_path, header, column):
    """Reference files need not exist; their names define the groups."""
    path = make(f"{header}\nI01.BMP,a.png,5.5,0.1\ni01.bmp,b.png,4.9,0.1\nin\\I02.BMP,c.png,3,0.1\n", ABC)
    ratings = read_ratings(path)
    assert names_of(ratings, tmp_path) == list(ABC)
    np.testing.assert_array_equal(ratings.mos, [5.5, 4.9, 3])
    first, second, third = ratings.references
    assert first == second != third
    assert ratings.references_source == f"column '{column}'"


def test_spaq_header(make):
    """A space in a name, and other columns that occur twice."""
    path = make("Image name,MOS,Brightness,Brightness\na.png,48.86,1,2\nb.png,62.5,3,4\n", ABC)
    np.testing.assert_array_equal(read_ratings(path).mos, [48.86, 62.5])


# --- direction ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "options"),
    [("dmos", {}), ("DMOS", {}), ("my_Dmos_z", {"mos_column": "my_dmos_z"})],
)
def test_dmos_needs_its_direction(make, column, options):
    path = make(f"image,{column}\na.png,1\nb.png,2\n", ABC)
    error = failure_of(path, **options)
    for word in (str(path), column, "KADID-10k", "LIVE"):
        assert word in error.message
    assert error.see == ("lower_better",)
    assert read_ratings(path, lower_better=True, **options).lower_better is True
    assert read_ratings(path, lower_better=False, **options).lower_better is False


def test_direction_of_mos_may_be_given(make):
    path = make("image,mos\na.png,1\nb.png,2\n", ABC)
    assert read_ratings(path, lower_better=True).lower_better is True


# --- columns that are not found -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "argument"),
    [
        ("picture,mos", "image_column"),
        ("image,opinion", "mos_column"),
        ("image,img,mos", "image_column"),
        ("image,mos,score", "mos_column"),
        ("image,mos,dmos", "mos_column"),
        ("image,mos,mos", "mos_column"),
        ("image,mos,ref,reference", "reference_column"),
        ("image mos", "image_column"),
    ],
)
def test_columns_missing_or_ambiguous(make, header, argument):
    path = make(f"{header}\n" + ",".join("1" for _ in header.split(",")) + "\n")
    error = failure_of(path)
    message = error.message
    assert message.startswith(f"{path}: ")
    assert (error.argument, error.see) == (None, (argument,))
    for name in header.split(","):
        assert f"'{name}'" in message
    assert ("separated by a comma" in message) == (header == "image mos")


@pytest.mark.parametrize("kind", ["image", "mos", "reference"])
def test_a_named_column_that_is_not_there(make, kind):
    path = make("image,mos\na.png,1\nb.png,2\n", ABC)
    error = failure_of(path, **{f"{kind}_column": "colour"})
    assert "'colour'" in error.message
    assert error.argument == f"{kind}_column"
    assert "'image', 'mos'" in error.message


def test_naming_a_column_ends_the_ambiguity(make):
    path = make("image,mos,score,ref,reference\na.png,1,8,x,p\nb.png,2,9,x,q\n", ABC)
    ratings = read_ratings(path, mos_column="score", reference_column="reference")
    np.testing.assert_array_equal(ratings.mos, [8, 9])
    assert ratings.references == ("p", "q")


# --- bad rows -------------------------------------------------------------------------------------

# Row of a file with the columns image,ref,mos -> what the reason must contain.
BAD_ROWS = {
    "gone.png,r,3": "no such file",
    "folder,r,3": "folder",
    ",r,3": "no image name",
    "a.png,r,": "no MOS",
    "a.png,r,good": "text where a number should be: 'good'",
    'a.png,r,"3,5"': "text where a number should be: '3,5'; write 3.5",
    'a.png,r,"1,234.5"': "text where a number should be: '1,234.5'",
    "a.png,r,3,5": "too many columns: 4, the header has 3",
    "a.png,r,1_0": "text where a number should be",
    "a.png,r,nan": "not a finite number",
    "a.png,r,-inf": "not a finite number",
    "a.png,r,5.01": "outside the range 1 to 5",
    "a.png,r,0.99": "outside the range 1 to 5",
    "a.png,r": "too few columns: 2, the header has 3",
    "a.png,,3": "no reference in the column 'ref'",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_bad_row(make, tmp_path, row):
    (tmp_path / "folder").mkdir()
    path = make(f"image,ref,mos\nb.png,r,1\n{row}\nc.png,s,5\n", ABC)
    error = failure_of(path, mos_range=(1, 5))
    message = error.message
    image = row.split(",", maxsplit=1)[0]
    assert message.startswith(f"{path}: 1 of 3 rows")
    listed = message.splitlines()[1]
    assert listed.startswith(f"  line 3: '{image}': ")
    assert BAD_ROWS[row] in listed
    assert error.see == ("skip_bad",)

    ratings = read_ratings(path, mos_range=(1, 5), skip_bad=True)
    assert names_of(ratings, tmp_path) == ["b.png", "c.png"]
    np.testing.assert_array_equal(ratings.mos, [1, 5])
    assert [(bad.row, bad.image) for bad in ratings.skipped] == [(3, image)]
    assert BAD_ROWS[row] in ratings.skipped[0].reason


def test_only_a_decimal_comma_gets_its_hint(make):
    path = make("image;mos\na.png;1,234.5\nb.png;-3,5\nc.png;1,2,3\n", ABC)
    message = error_of(path)
    assert message.count("write") == 1
    assert "'-3,5'; write -3.5" in message


def test_first_five_are_listed_and_all_are_counted(make):
    rows = "".join(f"a.png,{word}\n" for word in "pqrstuv")
    message = error_of(make(f"image,mos\nb.png,1\n{rows}c.png,2\n", ABC))
    assert "7 of 9 rows" in message
    assert [int(line) for line in re.findall(r"line (\d+):", message)] == [3, 4, 5, 6, 7]
    assert "'t'" in message
    assert "'u'" not in message
    assert "and 2 more" in message


def test_rows_are_listed_in_the_order_of_the_file(make):
    message = error_of(make("image,mos\na.png,1\nb.png,x\na.png,2\nc.png,y\n", ABC))
    assert [int(line) for line in re.findall(r"^ +line (\d+):", message, re.MULTILINE)] == [2, 3, 4, 5]


def test_first_image_missing_hints_at_the_folder(make, tmp_path):
    (tmp_path / "photos").mkdir()
    path = make("image,mos\ngone.png,3\nb.png,1\nc.png,5\n", ABC)
    error = failure_of(path)
    assert f"looked for in '{tmp_path}'" in error.message
    assert error.see == ("skip_bad", "images_folder")
    assert str(tmp_path / "photos") in error_of(path, images_folder=tmp_path / "photos")


def test_nothing_left(make):
    path = make("image,mos\na.png,x\nb.png,y\n", ABC)
    for skip_bad in (False, True):
        error = failure_of(path, skip_bad=skip_bad)
        assert f"{path}: no usable rows left, 2 of 2" in error.message
        assert "line 2: 'a.png'" in error.message
        assert error.see == ()


@pytest.mark.parametrize("rows", ["a.png,3\nb.png,3.0\nc.png,3e0\n", "a.png,3\n", "a.png,3\nb.png,x\n"])
def test_one_value_for_all(make, rows):
    path = make(f"image,mos\n{rows}", ABC)
    error = failure_of(path, skip_bad=True)
    assert error.message.startswith(f"{path}: ")
    assert "the same value, 3.0" in error.message
    assert error.see == ("mos_column",)


# --- the same image twice -------------------------------------------------------------------------


@pytest.mark.parametrize("skip_bad", [False, True])
def test_rows_that_agree_count_once(make, tmp_path, skip_bad):
    path = make("image,mos\na.png,3\nb.png,1\n./a.png,3.0\nin/../a.png,3\n", (*ABC, "in/x.png"))
    ratings = read_ratings(path, skip_bad=skip_bad)
    assert names_of(ratings, tmp_path) == ["a.png", "b.png"]
    np.testing.assert_array_equal(ratings.mos, [3, 1])
    assert [(bad.row, bad.image) for bad in ratings.skipped] == [(4, "./a.png"), (5, "in/../a.png")]
    assert all("line 2" in bad.reason for bad in ratings.skipped)


def test_a_link_is_the_image_it_leads_to(make, tmp_path):
    (tmp_path / "link.png").symlink_to("a.png")
    message = error_of(make("image,mos\na.png,3\nb.png,1\nlink.png,4\n", ABC))
    assert "line 4: 'link.png': the same image as in line 2" in message


def test_rows_that_disagree_are_an_error_or_all_dropped(make, tmp_path):
    path = make("image,mos\na.png,3\nb.png,1\na.png,4.5\nc.png,2\na.png,3\n", ABC)
    message = error_of(path)
    assert "3 of 5 rows" in message
    assert "line 2: 'a.png': the same image as in line 4, 6 with another MOS (3.0, 4.5, 3.0)" in message
    assert "line 4: 'a.png': the same image as in line 2, 6 " in message
    ratings = read_ratings(path, skip_bad=True)
    assert names_of(ratings, tmp_path) == ["b.png", "c.png"]
    assert [bad.row for bad in ratings.skipped] == [2, 4, 6]


@pytest.mark.parametrize(("column", "what"), [("ref", "reference"), ("split", "split")])
def test_rows_may_disagree_about_the_group(make, column, what):
    path = make(f"image,mos,{column}\na.png,3,train\nb.png,1,train\na.png,3,test\n", ABC)
    assert f"line 4: 'a.png': the same image as in line 2 with another {what}" in error_of(path)


def test_a_bad_row_does_not_spoil_a_good_one_of_its_image(make, tmp_path):
    path = make("image,mos\na.png,3\nb.png,1\na.png,x\n", ABC)
    ratings = read_ratings(path, skip_bad=True)
    assert names_of(ratings, tmp_path) == ["a.png", "b.png"]
    assert [bad.row for bad in ratings.skipped] == [4]


# --- files and options that cannot be right -------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n\n", "empty"),
        (b"image,mos\n", "no rows"),
        (b"image,mos\n\n,,\n", "no rows"),
        ("image,mos\na.png,1\n".encode("utf-16"), "UTF-16"),
        (b"a.png,1\nb.png,2.5\n", "the first line is a row of ratings, not a header"),
        (b"PK\x03\x04\0\0\0\0", "not a text file"),
        ("image,mos\na.png,1\nb.png,2\ncafé.png,3\n".encode("latin-1"), "line 4 is not UTF-8"),
        (b'image,mos\na.png,1\n"b.png,2\nc.png,3\n', "line 3 is not CSV"),
        (b'image,mos\na.png,1\n"b".png,2\nc.png,3\n', "line 3 is not CSV"),
    ],
)
def test_no_table(make, content, words):
    path = make(content, ABC)
    for skip_bad in (False, True):
        message = error_of(path, skip_bad=skip_bad)
        assert message.startswith(f"{path}: ")
        assert words in message


def test_no_file(tmp_path):
    assert f"{tmp_path}/x.csv: no such file" in error_of(tmp_path / "x.csv")
    assert f"{tmp_path}: a folder" in error_of(tmp_path)
    assert "cannot be read" in error_of("a" * 5000)


def test_no_folder_of_images(make, tmp_path):
    path = make("image,mos\na.png,1\nb.png,2\n", ABC)
    for folder in (tmp_path / "none", path):
        error = failure_of(path, images_folder=folder)
        assert error.argument == "images_folder"
        assert f"{folder} is not a folder" in error.message


@pytest.mark.parametrize("mos_range", [(5, 1), (3, 3), (math.nan, 5), (1, math.inf)])
def test_no_range(make, mos_range):
    path = make("image,mos\na.png,1\nb.png,2\n", ABC)
    assert failure_of(path, mos_range=mos_range).argument == "mos_range"


# --- references from names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("i01_08_5.bmp", ("i01", "08", 5)),  # TID
        ("I25_24_1.BMP", ("i25", "24", 1)),
        ("I01_01_01.png", ("I01", "01", 1)),  # KADID-10k
        ("i81_25_05.jpg", ("I81", "25", 5)),
        ("A0000_00_00.bmp", ("A0000", "00", 0)),  # PIPAL
        ("a0250_06_26.png", ("A0250", "06", 26)),
        ("1600.AWGN.1.png", ("1600", "AWGN", 1)),  # CSIQ
        ("Aerial_city.jpeg2000.5.png", ("aerial_city", "jpeg2000", 5)),
        ("some/folder/i01_08_5.bmp", ("i01", "08", 5)),
        ("some\\folder\\1600.fnoise.2.png", ("1600", "fnoise", 2)),
    ],
)
def test_names_of_the_standard_sets(name, expected):
    assert parse_name(name) == expected
    assert parse_name(name)._fields == ("reference", "distortion", "level")


@pytest.mark.parametrize(
    "name",
    [
        "I01.png",
        "i1_08_5.bmp",
        "i01_08_005.bmp",
        "xi01_08_5.bmp",
        "i01_08_5",
        "i01_08_5.bmp.txt",
        "A000_00_00.bmp",
        "1600.png",
        "1600.sepia.1.png",
        ".AWGN.1.png",
        "i01_08_5.bmp/photo.jpg",
        "i\u0660\u0661_08_5.bmp",
        "",
    ],
)
def test_other_names(name):
    assert parse_name(name) is None


def test_references_need_one_pattern_for_all():
    assert references_of(["i01_11_2.bmp", "in/I01_11_1.BMP", "i02_01_1.bmp"]) == ("i01", "i01", "i02")
    assert references_of(["I01_01_01.png", "i01_01_02.png"]) == ("I01", "I01")
    assert references_of(["i01_11_2.bmp", "I01_11_02.png"]) is None
    assert references_of(["i01_11_2.bmp", "photo.png"]) is None
    assert references_of([]) is None


def test_names_give_references_where_no_column_does(make):
    names = ("i01_01_1.bmp", "I01_02_1.BMP", "i02_01_1.bmp")
    rows = "".join(f"{name},{mos}\n" for mos, name in enumerate(names))
    ratings = read_ratings(make(f"image,mos\n{rows}", names))
    assert ratings.references == ("i01", "i01", "i02")
    assert ratings.references_source == "file names"

    table = "image,mos,ref\n" + "".join(f"{name},{mos},r{mos}\n" for mos, name in enumerate(names))
    assert read_ratings(make(table, names)).references == ("r0", "r1", "r2")

    others = make(f"image,mos\n{rows}a.png,9\n", (*names, "a.png"))
    assert read_ratings(others).references is None


# --- scale ----------------------------------------------------------------------------------------


def test_scale_maps_the_ends_and_between():
    scale = MosScale(1, 5)
    np.testing.assert_allclose(scale.to_quality(np.array([1, 2, 5, 6])), [0, 0.25, 1, 1.25])
    flipped = MosScale(-10, 90, lower_better=True)
    np.testing.assert_allclose(flipped.to_quality(np.array([[-10.0], [90], [40]])), [[1], [0], [0.5]])
    np.testing.assert_allclose(flipped.to_mos(np.array([1, 0, 0.75])), [-10, 90, 15])


@pytest.mark.parametrize("lower_better", [False, True])
def test_scale_and_its_inverse(lower_better):
    rng = np.random.default_rng(3)
    for _ in range(20):
        low, width = rng.normal(0, 100), rng.uniform(1e-3, 1e3)
        scale = MosScale(low, low + width, lower_better)
        mos = rng.uniform(low, low + width, (3, 4)).astype(np.float32)
        quality = scale.to_quality(mos)
        assert quality.dtype == np.float64
        np.testing.assert_allclose(scale.to_mos(quality), mos, rtol=1e-9, atol=1e-9 * width)
        order = np.argsort(mos.ravel())
        steps = np.diff(quality.ravel()[order])
        assert (steps <= 0).all() if lower_better else (steps >= 0).all()


@pytest.mark.parametrize(("low", "high"), [(1, 1), (5, 1), (math.nan, 1), (0, math.nan), (-math.inf, 1)])
def test_no_scale(low, high):
    with pytest.raises(ConfigError, match=f"{low}.*{high}"):
        MosScale(low, high)


def test_scale_is_declared_or_known_or_the_shots():
    mos = np.array([9.0, 2, 3, 7, 0])
    shots = np.array([1, 3, 2])
    images = ("a", "b", "c", "d", "e")
    assert Ratings("r.csv", images, mos).scale(shots) == MosScale(2, 7, False, SHOTS_RANGE)
    declared = Ratings("r.csv", images, mos, lower_better=True, mos_range=(0, 10))
    assert declared.scale(shots) == MosScale(0, 10, True, DECLARED)
    known = Ratings("r.csv", images, mos, mos_range=(0, 10), range_source=KNOWN_RANGE)
    assert known.scale(shots) == MosScale(0, 10, False, "known range of the data set")


def test_shots_of_one_value_determine_no_scale():
    ratings = Ratings("r.csv", ("a", "b", "c"), np.array([3.0, 3, 4]), adjustable=frozenset({"mos_range"}))
    with pytest.raises(InputError, match=r"r\.csv.*3\.0.*\(see mos_range, seed\)"):
        ratings.scale(np.array([0, 1]))
    assert ratings.scale(np.array([0, 2])).high == 4


@pytest.mark.parametrize("index", [np.array([3, 1]), np.array([False, True, False, True])])
def test_subset(index):
    whole = Ratings(
        "r.csv",
        ("a", "b", "c", "d"),
        np.array([1.0, 2, 3, 4]),
        references=("p", "q", "r", "s"),
        lower_better=True,
        mos_range=(0, 9),
        splits={"split": ("train", "val", "test", "none")},
        skipped=(BadRow(3, "x", "why"),),
    )
    part = whole.subset(index)
    order = [3, 1] if index.dtype == int else [1, 3]
    assert part.images == tuple("abcd"[i] for i in order)
    assert part.references == tuple("pqrs"[i] for i in order)
    assert part.splits == {"split": tuple(("train", "val", "test", "none")[i] for i in order)}
    np.testing.assert_array_equal(part.mos, np.array([1.0, 2, 3, 4])[order])
    assert (part.source, part.lower_better, part.mos_range) == ("r.csv", True, (0, 9))
    assert part.skipped == whole.skipped
    assert Ratings("r.csv", ("a", "b"), np.array([1.0, 2])).subset(np.array([1])).references is None


def test_raw_ratings_are_averaged_and_their_spread_is_kept(make, tmp_path):
    rows = "a.png,3\nb.png,1\na.png,4\nb.png,1\na.png,5\n"
    path = make(f"image,score\n{rows}", ["a.png", "b.png"])
    ratings = read_ratings(path, raw=True)
    assert names_of(ratings, tmp_path) == ["a.png", "b.png"]
    np.testing.assert_allclose(ratings.mos, [4, 1])
    np.testing.assert_allclose(ratings.deviations, [1, 0])
    np.testing.assert_allclose(ratings.raters, [3, 2])
    assert ratings.skipped == ()
    assert failure_of(path).see == ("skip_bad", "raw")


def test_deviations_and_raters_are_found_by_their_usual_names(make):
    path = make("image,mos,std,raters\na.png,3,0.5,20\nb.png,1,,x\n", ["a.png", "b.png"])
    ratings = read_ratings(path)
    np.testing.assert_array_equal(ratings.deviations, [0.5, np.nan])
    np.testing.assert_array_equal(ratings.raters, [20, np.nan])
    with pytest.raises(InputError, match=r"line 3.*the deviation is '', not a number from 0 up"):
        read_ratings(path, deviation_column="std")
    plain = make("image,mos\na.png,3\nb.png,1\n", ["a.png", "b.png"], name="plain.csv")
    assert read_ratings(plain).deviations is None


@pytest.mark.parametrize("column", ["rater", "Observer", "worker_id"])
def test_a_column_of_raters_means_single_ratings(make, column):
    rows = "a.png,x,1\na.png,y,2\nb.png,x,4\nb.png,y,4\n"
    ratings = read_ratings(make(f"image,{column},rating\n{rows}", ABC[:2]))
    assert ratings.mos.tolist() == [1.5, 4]
    assert ratings.raters.tolist() == [2, 2]


@pytest.mark.parametrize("ends", [5, (1,), (1, 2, 3), ("low", "high"), "15", object()])
def test_a_range_that_is_no_pair_of_numbers(tmp_path, ends):
    (tmp_path / "ratings.csv").write_text("image,mos\na.png,1\nb.png,5\n")
    with pytest.raises(InputError, match=r"a low and a high number, such as \(1, 5\), not") as caught:
        read_ratings(tmp_path / "ratings.csv", mos_range=ends)
    assert caught.value.argument == "mos_range"
