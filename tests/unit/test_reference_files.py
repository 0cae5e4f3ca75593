"""Finding the reference file of an image."""

import pytest

from grmp_plugin.data.reference_files import find_references
from grmp_plugin.errors import InputError


@pytest.fixture
def originals(tmp_path):
    folder = tmp_path / "originals"
    (folder / "more").mkdir(parents=True)
    for name in ("cat.png", "I01.BMP", "Dog.jpg", "more/owl.png"):
        (folder / name).touch()
    return folder


def test_one_file_is_the_reference_of_all_images(originals):
    file = str(originals / "cat.png")
    assert find_references(["a.jpg", "b.jpg"], file) == (file, file)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("photos/cat.png", "cat.png"),
        ("photos/cat.jpg", "cat.png"),
        ("photos/dog.JPG", "Dog.jpg"),
        ("photos/owl.tif", "more/owl.png"),
        ("photos/i01_11_3.bmp", "I01.BMP"),
        ("photos/I01_05_02.png", "I01.BMP"),
    ],
)
def test_suffix_and_case_of_names_do_not_matter(originals, image, expected):
    assert find_references([image], originals) == (str(originals / expected),)


def test_a_column_takes_precedence_over_the_name(originals):
    images, names = ["photos/cat.png", "photos/x.png"], ["dog.jpg", "more\\owl.png"]
    expected = (str(originals / "Dog.jpg"), str(originals / "more/owl.png"))
    assert find_references(images, originals, names) == expected


def test_missing_references_are_named(originals):
    with pytest.raises(InputError, match="2 of 3 images have no reference") as caught:
        find_references(["a/cat.png", "a/fox.png", "a/hen.png"], originals)
    assert "a/fox.png: looked for fox.png" in str(caught.value)
    assert "a/hen.png" in str(caught.value)
    assert (caught.value.argument, caught.value.see) == ("references", ("skip_bad",))
    with pytest.raises(InputError, match="or in a column of the ratings") as caught:
        find_references(["a/fox.png"], originals, nameable=True)
    assert (caught.value.argument, caught.value.see) == ("references", ("reference_column", "skip_bad"))
    cat = str(originals / "cat.png")
    assert find_references(["a/cat.png", "a/fox.png"], originals, skip_missing=True) == (cat, None)


def test_several_matching_files_are_an_error(originals):
    (originals / "cat.tif").touch()
    assert find_references(["cat.png"], originals) == (str(originals / "cat.png"),)
    with pytest.raises(InputError, match=r"several files could be the reference of cat\.jpg"):
        find_references(["cat.jpg"], originals)


def test_no_such_place(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_references(["cat.png"], tmp_path / "gone")
