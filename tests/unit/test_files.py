"""Files that a run writes: links, permissions, inputs, and disks that are full."""

import os
import stat

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.data.sources import FileImage
from grmp_plugin.errors import InputError
from grmp_plugin.evaluation import map_files
from grmp_plugin.files import atomic_write, only_writer
from grmp_plugin.only_run import only_run
from grmp_plugin.tables import check_file_path, check_not_input, write_text


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to("real/scores.csv")
    write_text(check_file_path(link, "out"), "first")
    write_text(check_file_path(link, "out"), "second")
    assert link.is_symlink()
    assert (tmp_path / "real" / "scores.csv").read_text() == "second"
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["scores.csv"]


def test_a_link_into_a_missing_folder_is_refused_before_any_work(tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to("missing/scores.csv")
    with pytest.raises(InputError, match="missing does not exist"):
        check_file_path(link, "out")


@pytest.mark.parametrize("mode", [0o664, 0o600, 0o640])
def test_a_file_keeps_its_permissions(tmp_path, mode):
    file = tmp_path / "scores.csv"
    file.touch()
    file.chmod(mode)
    write_text(file, "new")
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.read_text() == "new"


def test_a_new_file_is_as_readable_as_any(tmp_path):
    umask = os.umask(0o027)
    try:
        write_text(tmp_path / "scores.csv", "new")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "scores.csv").stat().st_mode) == 0o640


def test_a_device_is_never_replaced(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    link = tmp_path / "link.csv"
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(InputError, match="a device or a pipe"):
            check_file_path(path, "out")
        with pytest.raises(OSError, match="not a regular file"), atomic_write(path):
            pass
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("by", ["name", "symbolic link", "hard link"])
def test_an_input_is_not_replaced(tmp_path, by):
    image = tmp_path / "a.png"
    image.write_bytes(b"pixels")
    out = {"name": image, "symbolic link": tmp_path / "s.csv", "hard link": tmp_path / "h.csv"}[by]
    if by == "symbolic link":
        out.symlink_to(image)
    elif by == "hard link":
        out.hardlink_to(image)
    with pytest.raises(InputError, match=r"is the input .*a\.png; name another file"):
        check_not_input(out, ["grmp_iqa-tiny", tmp_path / "other.png", image], "out")
    check_not_input(tmp_path / "new.csv", [image], "out")
    check_not_input(None, [image], "out")


@pytest.fixture
def drawn(monkeypatch):
    """Maps without a network."""
    monkeypatch.setattr(map_files, "quality_map", lambda network, pixels: None)
    monkeypatch.setattr(map_files, "overlay", lambda pixels, drawing: Image.fromarray(pixels))


def _photograph(folder):
    pixels = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    Image.fromarray(pixels).save(folder / "a.png")
    return FileImage(str(folder / "a.png"))


def test_maps_never_follow_a_link_out_of_their_folder(tmp_path, drawn):
    source = _photograph(tmp_path)
    outside = tmp_path / "precious.png"
    outside.write_bytes(b"precious")
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "a.map.png").symlink_to(outside)
    (one,) = map_files.draw_maps(None, [source], maps, lambda progress: None)
    assert outside.read_bytes() == b"precious"
    assert one.path == maps / "a.map.png"
    assert not one.path.is_symlink()
    assert Image.open(one.path).size == (32, 32)


def test_maps_on_a_full_disk_are_complete_or_absent(tmp_path, drawn, monkeypatch):
    source = _photograph(tmp_path)

    def save(self, file, **_):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(map_files.GRMPError, match="No space left on device"):
        map_files.draw_maps(None, [source], tmp_path / "maps", lambda progress: None)
    assert list((tmp_path / "maps").iterdir()) == []


def test_the_second_of_two_runs_with_one_file_is_told(tmp_path):
    out, link = tmp_path / "a.safetensors", tmp_path / "link.safetensors"
    link.symlink_to(out)
    with only_run(out):
        for name in (out, link):
            with pytest.raises(InputError, match=r"another run is writing .*; wait") as found, only_run(name):
                pass
            assert found.value.argument == "out"
        with only_run(tmp_path / "b.safetensors"), only_run(None):
            pass
    with only_run(out):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link.safetensors"]


def test_the_lock_of_a_killed_run_holds_nobody_up(tmp_path):
    (tmp_path / ".a.safetensors.lock").touch()
    with only_writer(tmp_path / "a.safetensors"):
        pass
    assert list(tmp_path.iterdir()) == []
