"""A JPEG that lacks only its end is whole; one that lacks pixels never is."""

import io

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.data.images import pillow_pixels, read_image
from grmp_plugin.data.jpeg_end import without_end_marker
from grmp_plugin.errors import ImageError

KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "cmyk": {"mode": "CMYK"},
    "444": {"subsampling": 0, "quality": 95},
    "restarts": {"restart_marker_rows": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_blocks": 3},
}


def jpeg(kind, *, flat=False, turned=False):
    """A JPEG with its end marker."""
    options = dict(KINDS[kind])
    values = np.random.default_rng(1).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    image = Image.fromarray(np.full_like(values, 128) if flat else values).convert(options.pop("mode", "RGB"))
    buffer = io.BytesIO()
    if turned:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [1, 2])
def test_only_the_end_marker_is_missing(tmp_path, kind, missing):
    whole = jpeg(kind, turned=True)
    (tmp_path / "whole.jpg").write_bytes(whole)
    (tmp_path / "cut.jpg").write_bytes(whole[:-missing])
    expected = read_image(tmp_path / "whole.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "cut.jpg"), expected)
    with Image.open(tmp_path / "cut.jpg") as opened:
        np.testing.assert_array_equal(pillow_pixels(opened), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flat", [False, True])
def test_missing_pixels_are_never_filled_in(tmp_path, kind, flat):
    """At no length is anything but the whole picture read; a flat one is the easiest to guess."""
    whole = jpeg(kind, flat=flat)
    (tmp_path / "a.jpg").write_bytes(whole)
    expected = read_image(tmp_path / "a.jpg")
    # All lengths near the end, and some of all others.
    lengths = {*range(len(whole) - 24, len(whole) - 2), *range(200, len(whole) - 2, len(whole) // 40)}
    refused = 0
    for length in sorted(lengths):
        (tmp_path / "a.jpg").write_bytes(whole[:length])
        try:
            result = read_image(tmp_path / "a.jpg")
        except ImageError:
            refused += 1
        else:
            np.testing.assert_array_equal(result, expected)
            # Of a flat picture, the last scan may say nothing.
            assert flat or length > len(whole) - 12
    assert refused > (0 if flat else len(lengths) - 10)


def test_a_progressive_jpeg_between_two_scans_is_truncated():
    """It decodes without a complaint, only coarser."""
    whole = jpeg("progressive")
    scans = [at for at in range(len(whole) - 1) if whole[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for start in scans[1:]:
        # A scan's tables stand before it.
        end = whole.rfind(b"\xff\xc4", 0, start) if whole[start - 40 : start].count(b"\xff\xc4") else start
        assert without_end_marker(io.BytesIO(whole[:end])) is None
    assert without_end_marker(io.BytesIO(whole[:-2])) is not None


@pytest.mark.parametrize("kind", ["restarts", "progressive with restarts"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_jpeg_that_ends_with_a_restart_interval_is_truncated(kind, flat):
    """What follows would be skipped on the way to the next restart marker, whatever it is."""
    whole = jpeg(kind, flat=flat)
    expected = Image.open(io.BytesIO(whole)).tobytes()
    markers = [at for at in range(len(whole) - 1) if whole[at] == 0xFF and 0xD0 <= whole[at + 1] <= 0xD7]
    assert len(markers) >= 5
    for at in markers[-40:]:
        for end in (at, at + 1, at + 2):
            found = without_end_marker(io.BytesIO(whole[:end]))
            # Of a flat picture, the last interval may say nothing; what is read is whole all the same.
            assert found is None or (flat and found.tobytes() == expected)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xe0\0",
        b"\xff\xd8\xff\xc0\0\x02\xff\xda\0\x02",
        b"\xff\xd8\xff\xda\0\x03\x09",
    ],
)
def test_no_scans(content):
    assert without_end_marker(io.BytesIO(content)) is None
