"""Test images with the pixels of a shot say nothing about new images, and are not tested."""

import shutil

import numpy as np
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.data.splits import Split
from grmp_plugin.errors import InputError


@pytest.fixture
def ratings(tmp_path):
    """24 ratings of 12 pictures, each once as a file and once as a copy of another format."""
    rng = np.random.default_rng(0)
    rows = ["image,mos"]
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / f"{number}.png")
        Image.open(tmp_path / f"{number}.png").save(tmp_path / f"{number}.bmp")
        rows += [f"{number}.{kind},{1 + number % 5}" for kind in ("png", "bmp")]
    file = tmp_path / "ratings.csv"
    file.write_text("\n".join(rows))
    return file


def test_copies_of_shots_are_not_tested(ratings):
    adapted = grmp.adapt(ratings, shots=6, method="ridge", mos_range=(1, 5))
    (split,) = adapted.splits
    shots = {image.rsplit(".")[0] for image in split.learned_from}
    tested = {row["image"].rsplit(".")[0] for row in split.tested}
    assert not shots & tested
    left_out = 24 - 6 - len(split.tested)
    assert left_out > 0
    assert any(
        f"not tested: {left_out} images with the same pixels" in note.message for note in adapted.notes
    )


def test_neither_by_a_benchmark(ratings, tmp_path):
    table = grmp.benchmark(
        ratings, out=tmp_path / "out", shots=[6], splits=3, methods=["ridge"], mos_range=(1, 5)
    )
    tested = [row.images for block in table.blocks for entry in block.entries for row in entry.rows]
    assert len(tested) == 3
    assert all(12 <= images < 18 for images in tested)


def test_the_note_counts_the_most_of_several_splits(ratings):
    adapted = grmp.adapt(ratings, shots=6, method="ridge", mos_range=(1, 5), splits=3)
    most = max(18 - len(split.tested) for split in adapted.splits)
    assert any(f"not tested: up to {most} images with" in note.message for note in adapted.notes)


def test_too_few_left(ratings, tmp_path):
    for number in range(2, 12):
        for kind in ("png", "bmp"):
            shutil.copy(tmp_path / "0.png", tmp_path / f"{number}.{kind}")
    with pytest.raises(InputError, match="have the same pixels as a shot, and too few others are left"):
        grmp.adapt(ratings, shots=20, method="ridge", mos_range=(1, 5))


def test_unknown_digests_are_no_copies():
    split = Split(np.array([0, 1]), np.array([2, 3, 4]))
    assert split.without_copies([None, "a", None, "a", "b"]).test.tolist() == [2, 4]
    assert split.without_copies([None] * 5).test.tolist() == [2, 3, 4]
    nothing = Split(np.array([0, 1]), np.array([], int))
    assert nothing.without_copies(["a", "a"]).test.tolist() == []
