"""Files, folders and patterns become a list of image files: in order, each once, nothing lost."""

import io
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from grmp_plugin.data import kinds
from grmp_plugin.data.images import read_image
from grmp_plugin.data.paths import expand_paths
from grmp_plugin.errors import ImageError, InputError

needs_rights = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Make files relative to the current folder; names that end in / become folders."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = Path(name)
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x")
        return tmp_path

    return make


# --- files ----------------------------------------------------------------------------------------


def test_files_keep_their_order_and_spelling(tree):
    top = tree("b.jpg", "a.png", "c/d.bmp")
    given = ["b.jpg", "./a.png", "c/../c/d.bmp", str(top / "x.gif")]
    assert expand_paths(given) == given


def test_named_files_are_kept_whatever_they_are(tree):
    tree("data.bin", "noext", ".hidden.png")
    Path("dangling.png").symlink_to("gone.png")
    given = ["data.bin", "missing.png", "noext", "dangling.png", ".hidden.png", "no/such/folder.png"]
    assert expand_paths(given) == given


def test_a_file_appears_once(tree):
    top = tree("a.png", "d/b.png")
    assert expand_paths(["a.png", "./a.png", str(top / "a.png"), "a.png", "d/../a.png"]) == ["a.png"]
    assert expand_paths(["d/b.png", "d", "d/", "."]) == ["d/b.png", "./a.png"]
    assert expand_paths(["missing.png", "./missing.png"]) == ["missing.png"]


def test_two_links_to_a_file_are_two_entries(tree):
    tree("store/x.png", "set/")
    Path("set/a.png").symlink_to("../store/x.png")
    Path("set/b.png").symlink_to("../store/x.png")
    assert expand_paths(["set/a.png", "set/b.png"]) == ["set/a.png", "set/b.png"]
    assert expand_paths(["set"]) == ["set/a.png", "set/b.png"]
    assert expand_paths(["set/a.png", "store/x.png"]) == ["set/a.png", "store/x.png"]


def test_a_linked_folder_is_the_same_folder(tree):
    tree("real/a.png")
    Path("link").symlink_to("real")
    assert expand_paths(["link", "real"]) == ["link/a.png"]
    assert expand_paths(["real/a.png", "link/a.png"]) == ["real/a.png"]


@pytest.mark.parametrize("arguments", [[], [""]])
def test_nothing_given(tree, arguments):
    with pytest.raises(InputError, match="Name "):
        expand_paths(arguments)


def test_impossible_name_is_kept():
    assert expand_paths(["a\0.png"]) == ["a\0.png"]


# --- folders --------------------------------------------------------------------------------------


def test_folder_is_searched_for_images(tree):
    tree("f/a.jpg", "f/b.PNG", "f/c.Tiff", "f/notes.txt", "f/noext", "f/sub/d.webp", "f/sub/deep/e.gif")
    expected = ["f/a.jpg", "f/b.PNG", "f/c.Tiff", "f/sub/d.webp", "f/sub/deep/e.gif"]
    assert expand_paths(["f"]) == expected
    assert expand_paths(["f"], recursive=False) == expected[:3]


def test_natural_order(tree):
    names = [
        "img1.png",
        "IMG2.png",
        "img10.png",
        "img10b.png",
        "img100.png",
        "x/1.png",
        "x/02.png",
        "x/2.png",
    ]
    tree(*(f"f/{name}" for name in names))
    assert expand_paths(["f"]) == [f"f/{name}" for name in names]


def test_numbers_and_names_mix(tree):
    tree("1.png", "a.png", "1a.png", "٣.png", "²x.png", "9" * 200 + ".png")
    assert len(expand_paths(["."])) == 6


def test_hidden_files_and_folders_are_skipped(tree):
    tree("f/a.png", "f/.b.png", "f/.git/c.png", "f/._a.png")
    assert expand_paths(["f"]) == ["f/a.png"]
    assert expand_paths(["f/.git"]) == ["f/.git/c.png"]


def test_folder_called_like_an_image(tree):
    tree("f/a.png/b.png", "f/c.png/notes.txt", "f/d.png")
    assert expand_paths(["f"]) == ["f/a.png/b.png", "f/d.png"]
    assert expand_paths(["f"], recursive=False) == ["f/d.png"]


def test_broken_links_in_folders_are_kept(tree):
    tree("f/a.png")
    Path("f/b.png").symlink_to("gone.png")
    Path("f/c.png").symlink_to("c.png")
    Path("f/d").symlink_to("gone")
    assert expand_paths(["f"]) == ["f/a.png", "f/b.png", "f/c.png"]


def test_links_in_circles(tree):
    tree("f/a.png", "f/sub/b.png")
    for name in ("f/sub/up", "f/sub/up2", "f/self", "f/again"):
        Path(name).symlink_to(Path("f").resolve())
    assert expand_paths(["f"]) == ["f/a.png", "f/sub/b.png"]
    assert expand_paths(["f/**/*.png"]) == ["f/a.png", "f/sub/b.png"]


def test_linked_folders_are_followed(tree):
    tree("elsewhere/a.png", "f/b.png")
    Path("f/link").symlink_to(Path("elsewhere").resolve())
    assert expand_paths(["f"]) == ["f/b.png", "f/link/a.png"]


def test_deep_folders(tree):
    deep = "f/" + "d/" * 300 + "a.png"  # not deeper, because os.makedirs and pytest's cleanup recurse
    tree(deep)
    assert expand_paths(["f"]) == [deep]


def test_folder_without_images(tree):
    tree("f/sub/a.png", "f/sub/x/notes.txt")
    with pytest.raises(InputError, match=r"'f/sub/x': .*\.jpg.*\.png"):
        expand_paths(["f", "f/sub/x"])
    with pytest.raises(InputError, match=r"'f': .*not searched"):
        expand_paths(["f"], recursive=False)


def test_unreadable_folders_are_entries(tree, monkeypatch):
    """The refusal is simulated, because root may read every folder."""
    tree("f/a.png", "f/locked/b.png", "f/z.png")
    listdir = os.listdir

    def refusing(path):
        if os.path.basename(path) == "locked":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refusing)
    everything = ["f/a.png", "f/locked", "f/z.png"]
    assert expand_paths(["f"]) == everything
    assert expand_paths(["f/locked"]) == ["f/locked"]
    assert expand_paths(["f/locked/*.png"]) == ["f/locked"]
    assert expand_paths(["f/**/*.png"]) == everything
    with pytest.raises(ImageError):
        read_image("f/locked")


@needs_rights
def test_unreadable_folder(tree):
    tree("f/a.png", "f/locked/b.png")
    os.chmod("f/locked", 0)
    try:
        assert expand_paths(["f"]) == ["f/a.png", "f/locked"]
        with pytest.raises(ImageError, match="permission denied"):
            read_image("f/locked")
    finally:
        os.chmod("f/locked", 0o700)


# --- patterns -------------------------------------------------------------------------------------


def test_patterns(tree):
    top = tree(
        "f/img10.png", "f/img2.png", "f/b.jpg", "f/notes.txt", "f/.h.png", "f/s/img3.png", "f/s/t/img4.png"
    )
    assert expand_paths(["f/*.png"]) == ["f/img2.png", "f/img10.png"]
    assert expand_paths(["f/img?.png"]) == ["f/img2.png"]
    assert expand_paths(["f/img[0-9][0-9].png"]) == ["f/img10.png"]
    assert expand_paths(["f/[!i]*.jpg"]) == ["f/b.jpg"]
    assert expand_paths(["f/*/*.png"]) == ["f/s/img3.png"]
    assert expand_paths(["f/**/img?.png"]) == ["f/img2.png", "f/s/img3.png", "f/s/t/img4.png"]
    assert expand_paths(["**/*.*"]) == expand_paths(["f"])
    assert expand_paths(["**/t/*.png"]) == ["f/s/t/img4.png"]
    assert expand_paths([f"{top}/f/s/*"]) == [f"{top}/f/s/img3.png", f"{top}/f/s/t/img4.png"]
    assert expand_paths(["./f/../f/b.*"]) == ["f/../f/b.jpg"]


def test_wildcards_find_images_and_search_folders(tree):
    tree("f/a.png", "f/notes.txt", "f/raw.dat", "f/s/b.png", "f/empty/")
    assert expand_paths(["f/*"]) == ["f/a.png", "f/s/b.png"]
    assert expand_paths(["f/**"]) == ["f/a.png", "f/s/b.png"]
    assert expand_paths(["f/*.dat"]) == ["f/raw.dat"]


def test_hidden_files_need_a_dot_in_the_pattern(tree):
    tree("a.png", ".b.png")
    assert expand_paths(["*.png"]) == ["a.png"]
    assert expand_paths([".*.png"]) == [".b.png"]


def test_real_brackets_win(tree):
    tree("a[1].png", "a1.png", "set [2020]/b.png", "set 2/b.png")
    assert expand_paths(["a[1].png"]) == ["a[1].png"]
    assert expand_paths(["set [2020]"]) == ["set [2020]/b.png"]
    assert expand_paths(["set [2020]/*.png"]) == ["set [2020]/b.png"]
    os.remove("a[1].png")
    assert expand_paths(["a[1].png"]) == ["a1.png"]


def test_pattern_finds_dangling_links(tree):
    tree("a.png")
    Path("b.png").symlink_to("gone.png")
    assert expand_paths(["*.png"]) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "pattern", ["*.png", "no/*.png", "a[1].png", "notes.txt/*", "notes.txt/**/*.png", "**/x.png"]
)
def test_pattern_without_matches(tree, pattern):
    tree("notes.txt")
    with pytest.raises(InputError) as caught:
        expand_paths([pattern])
    assert f"'{pattern}'" in str(caught.value)
    assert "pattern" in str(caught.value)


def test_wildcard_without_images_says_what_is_looked_for(tree):
    tree("f/notes.txt")
    with pytest.raises(InputError, match=r"\.jpg.*\.png"):
        expand_paths(["f/*"])


def test_only_kinds_that_are_read_are_looked_for(tree, monkeypatch):
    tree("f/notes.txt")
    for installed in (False, True):
        monkeypatch.setattr(kinds, "_has_module", lambda name, installed=installed: installed)
        monkeypatch.setattr(kinds, "pillow_reads_avif", lambda installed=installed: installed)
        with pytest.raises(InputError) as caught:
            expand_paths(["f"])
        assert all((suffix in str(caught.value)) is installed for suffix in (".avif", ".heic", ".jxl"))


# --- standard input -------------------------------------------------------------------------------


def test_lines(tree):
    tree("f/b.png", "f/a.png", "c d.png")
    text = "\ufeffc d.png\r\n\n   \nmissing[1].png\nf\nc d.png\n"
    result = expand_paths(["x.png", "-", "-"], stdin=io.StringIO(text))
    assert result == ["x.png", "c d.png", "missing[1].png", "f/a.png", "f/b.png"]


def test_nul_separated(tree):
    result = expand_paths(["-"], stdin=io.StringIO("a.png\0new\nline.png\0 \0"))
    assert result == ["a.png", "new\nline.png", " "]


def test_odd_characters_stay(tree):
    names = ["a\u2028b.png", "a\x85b.png", "a\x0bb.png", " lead.png", "trail.png "]
    assert expand_paths(["-"], stdin=io.StringIO("\n".join(names))) == names


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_names_that_are_not_utf8(tree, monkeypatch):
    raw = b"caf\xe9.png"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw + b"\n"), encoding="utf-8"))
    assert expand_paths(["-"]) == [os.fsdecode(raw)]
    assert expand_paths(["."]) == [os.path.join(".", os.fsdecode(raw))]


@pytest.mark.parametrize("text", ["", "\n\n", "\0"])
def test_empty_input(tree, text):
    with pytest.raises(InputError, match="standard input"):
        expand_paths(["-"], stdin=io.StringIO(text))


def test_no_standard_input(tree, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input"):
        expand_paths(["-"])


def test_file_called_dash(tree):
    tree("-")
    assert expand_paths(["./-"]) == ["./-"]


# --- together with decoding -----------------------------------------------------------------------


REASONS = {
    "truncated": "truncated: ",
    "damaged": "",
    "empty": "empty file",
    "not an image": "not an image",
    "unsupported": "not supported",
    "too large": "60000 x 60000",
    "dangling link": "dangling link",
    "link loop": "leads to itself",
    "pipe": "named pipe",
}


def test_broken_folder(broken_folder, capfd):
    folder, kinds = broken_folder
    paths = expand_paths([str(folder)])
    listed = {name for name, kind in kinds.items() if kind != "ignored"}
    assert {Path(path).relative_to(folder).as_posix() for path in paths} == listed
    assert Counter(paths).most_common(1)[0][1] == 1
    for path in paths:
        kind = kinds[Path(path).relative_to(folder).as_posix()]
        if kind == "ok":
            assert read_image(path).shape in {(48, 64, 3), (64, 48, 3)}
        else:
            with pytest.raises(ImageError) as caught:
                read_image(path)
            assert REASONS[kind] in str(caught.value), path
    assert capfd.readouterr() == ("", "")
