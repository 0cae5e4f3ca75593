"""Decoding: expected pixel values, and a short reason for each kind of broken file."""

import io
import os
import random
import re
import stat
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from grmp_plugin.data import unreadable
from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT, read_image
from grmp_plugin.data.kinds import IMAGE_SUFFIXES
from grmp_plugin.data.pixels import as_shown, split_alpha
from grmp_plugin.errors import ImageError

# --- helpers --------------------------------------------------------------------------------------


def picture(height=23, width=37, seed=0):
    """A colourful picture without any symmetry: (H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, depth, colour_type, rows, *chunks):
    """Build a PNG by hand; rows lack their filter byte, chunks precede the pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    body = b"".join(chunks) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def tiff(
    width, height, pixels, *, bits=8, photometric=1, sample_format=1, order="<", samples=1, compression=1
):
    """Build a TIFF of one strip by hand, uncompressed unless the pixels are compressed."""
    entries = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits),
        (259, 3, compression),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, samples),
        (278, 3, height),
        (279, 4, len(pixels)),
        (339, 3, sample_format),
    ]
    pixels += b"\0" * (len(pixels) % 2)
    table = struct.pack(order + "H", len(entries))
    for tag, kind, value in sorted(entries):
        packed = struct.pack(order + ("H2x" if kind == 3 else "I"), value)
        table += struct.pack(order + "HHI", tag, kind, 1) + packed
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", 8 + len(pixels)) + pixels + table + b"\0\0\0\0"


def s15(value):
    return struct.pack(">i", round(value * 65536))


def xyz(x, y, z):
    return b"XYZ \0\0\0\0" + s15(x) + s15(y) + s15(z)


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def text_tag(text):
    return b"text\0\0\0\0" + text + b"\0"


def description(text):
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + b"\0" * 78


def icc_profile(space, kind, tags, pcs=b"XYZ "):
    """Build an ICC version 2 profile by hand."""
    tags = {b"desc": description(b"made by a test"), b"cprt": text_tag(b"none"), **tags}
    tags[b"wtpt"] = xyz(0.9642, 1.0, 0.8249)
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    header = struct.pack(">I4sI", offset + len(body), b"test", 0x02100000) + kind + space + pcs
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    header += s15(0.9642) + s15(1.0) + s15(0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


# sRGB's primaries, adapted to D50, as every sRGB profile has them.
SRGB_PRIMARIES = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


def rgb_profile(order=(0, 1, 2), gamma=2.2):
    tags = {}
    for letter, primary in zip("rgb", order, strict=True):
        tags[f"{letter}XYZ".encode()] = xyz(*SRGB_PRIMARIES[primary])
        tags[f"{letter}TRC".encode()] = curve(gamma)
    return icc_profile(b"RGB ", b"mntr", tags)


def grey_profile(gamma):
    return icc_profile(b"GRAY", b"mntr", {b"kTRC": curve(gamma)})


def cmyk_profile(ink, paper):
    """A profile whose first ink is the Lab colour `ink`, whose fourth is black and whose others are clear."""
    identity = bytes(range(256))
    corners = b""
    for index in range(16):  # the first channel varies slowest
        lightness, a, b = (0, 0, 0) if index & 1 else ink if index & 8 else paper
        corners += bytes([round(lightness * 2.55), a + 128, b + 128])
    matrix = b"".join(s15(value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + corners + identity * 3
    return icc_profile(b"CMYK", b"prtr", {b"A2B0": lut}, pcs=b"Lab ")


def srgb_encode(linear):
    linear = np.asarray(linear, dtype=float)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.fixture
def save(tmp_path):
    """Write an image, array or bytes under a name; returns the path."""

    def _save(content, name, **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            image = content if isinstance(content, Image.Image) else Image.fromarray(content)
            image.save(path, **options)
        return path

    return _save


def reason(path, **options):
    """Return the message of the error that reading a path must raise, after checks common to all."""
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert len(message) < 140
    assert not str(path) or str(path) not in message
    return message


def over_white(colour, alpha):
    """The image over white in exact arithmetic, (H, W, 3) float."""
    share = alpha[..., None] / 255.0
    return colour * share + 255 * (1 - share)


# --- plain files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.tif", {}),
        ("lzw.tif", {"compression": "tiff_lzw"}),
        ("a.ppm", {}),
        ("a.tga", {}),
        ("rle.tga", {"compression": "tga_rle"}),
        ("a.webp", {"lossless": True}),
        ("a.jp2", {"irreversible": False}),
        ("a.gif", {}),
        ("a.jpg", {"quality": 90}),
        ("progressive.jpg", {"progressive": True}),
        ("444.jpg", {"subsampling": 0}),
    ],
)
def test_plain_files_are_bit_identical_to_pillow(save, name, options):
    path = save(picture(), name, **options)
    result = read_image(path)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(result, expected)
    if not name.endswith((".jpg", ".gif")):
        np.testing.assert_array_equal(result, picture())
    assert result.dtype == np.uint8
    assert result.flags.writeable
    assert result.flags.c_contiguous


@pytest.mark.skipif(".avif" not in Image.registered_extensions(), reason="Pillow without AVIF")
def test_avif(save):
    smooth = np.full((24, 32, 3), (200, 40, 90), np.uint8)
    result = read_image(save(smooth, "a.avif", quality=95))
    assert np.abs(result.astype(int) - smooth).max() <= 6


def test_path_types(save):
    path = save(picture(), "a.png")
    np.testing.assert_array_equal(read_image(str(path)), read_image(path))


def test_suffix_does_not_matter(save):
    path = save(picture(), "a.png").rename(save(b"x", "b.jpg"))
    np.testing.assert_array_equal(read_image(path), picture())


def test_link_is_followed(save, tmp_path):
    save(picture(), "a.png")
    (tmp_path / "link.png").symlink_to("a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "link.png"), picture())


def test_suffixes_are_pillows():
    Image.init()
    known = set(Image.registered_extensions()) | {".avif", ".pnm"}
    assert known >= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)


# --- orientation ----------------------------------------------------------------------------------

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


def exif_with(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.webp", {"lossless": True}), ("a.tif", {})])
def test_orientation(save, orientation, name, options):
    path = save(picture(), name, exif=exif_with(orientation), **options)
    np.testing.assert_array_equal(read_image(path), UPRIGHT[orientation](picture()))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_in_jpeg(save, orientation):
    stored = read_image(save(picture(), "plain.jpg"))
    path = save(picture(), "a.jpg", exif=exif_with(orientation))
    np.testing.assert_array_equal(read_image(path), UPRIGHT[orientation](stored))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_in_compressed_tiff(save, orientation):
    path = save(picture(), "a.tif", exif=exif_with(orientation), compression="tiff_lzw")
    np.testing.assert_array_equal(read_image(path), UPRIGHT[orientation](picture()))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_unknown_orientation_is_ignored(save, orientation):
    path = save(picture(), "a.png", exif=exif_with(orientation))
    np.testing.assert_array_equal(read_image(path), picture())


@pytest.mark.parametrize(
    "damaged",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage, certainly no TIFF header",
        b"Exif\0\0MM\0*\0\0\0\x08",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0" + b"\xff" * 60,
        # An orientation that is a text, far outside the block.
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\xff\0\0\0\xff\xff\0\0\0\0\0\0",
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_damaged_exif_is_ignored(save, damaged, name):
    plain = read_image(save(picture(), "plain" + name, lossless=True))
    path = save(picture(), name, exif=damaged, lossless=True)
    np.testing.assert_array_equal(read_image(path), plain)


def test_a_callers_image_is_not_turned(save):
    path = save(picture(), "a.png", exif=exif_with(6))
    with Image.open(path) as image:
        for _ in range(2):
            np.testing.assert_array_equal(as_shown(image), UPRIGHT[6](picture()))
        np.testing.assert_array_equal(np.asarray(image), picture())
        assert image.getexif()[0x0112] == 6


# --- transparency ---------------------------------------------------------------------------------


def rgba_picture():
    rgba = np.dstack([picture(), picture(seed=1)[..., 0]])
    rgba[:2, :, 3], rgba[2:4, :, 3] = 0, 255
    return rgba


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.png", {}), ("a.tif", {}), ("a.tga", {}), ("a.webp", {"lossless": True, "exact": True})],
)
def test_alpha_over_white(save, name, options):
    rgba = rgba_picture()
    result = read_image(save(rgba, name, **options))
    expected = over_white(rgba[..., :3], rgba[..., 3])
    assert np.abs(result - expected).max() <= 0.51
    assert (result[:2] == 255).all()
    np.testing.assert_array_equal(result[2:4], rgba[2:4, :, :3])


def test_grey_with_alpha(save):
    rgba = rgba_picture()
    la = Image.merge("LA", [Image.fromarray(rgba[..., 0]), Image.fromarray(rgba[..., 3])])
    result = read_image(save(la, "a.png"))
    expected = over_white(rgba[..., [0, 0, 0]], rgba[..., 3])
    assert np.abs(result - expected).max() <= 0.51


def palette_picture():
    indices = np.random.default_rng(0).integers(0, 4, (9, 14)).astype(np.uint8)
    image = Image.frombytes("P", (14, 9), indices.tobytes())
    colours = np.array([[10, 20, 30], [200, 100, 0], [0, 255, 0], [90, 90, 90]], np.uint8)
    image.putpalette(colours.tobytes())
    return image, colours[indices].astype(float), indices


def test_palette(save):
    image, colours, _ = palette_picture()
    np.testing.assert_array_equal(read_image(save(image, "a.png")), colours)


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_palette_with_one_transparent_colour(save, name):
    image, colours, indices = palette_picture()
    result = read_image(save(image, name, transparency=1))
    np.testing.assert_array_equal(result, np.where((indices == 1)[..., None], 255, colours))


def test_palette_with_alpha_values(save):
    image, colours, indices = palette_picture()
    alphas = np.array([0, 85, 170, 255])
    result = read_image(save(image, "a.png", transparency=bytes(alphas.tolist())))
    assert np.abs(result - over_white(colours, alphas[indices])).max() <= 0.51


def test_palette_with_alpha_band(save):
    image, colours, _ = palette_picture()
    pa = image.convert("PA")
    pa.putalpha(Image.new("L", pa.size, 40))
    colour, alpha = split_alpha(pa)  # no common format stores PA, but plugins may return it
    np.testing.assert_array_equal(np.asarray(colour), colours)
    assert (np.asarray(alpha) == 40).all()


def test_colour_key_in_rgb(save):
    colours = picture()
    colours[3:9, 5:11] = (12, 34, 56)
    result = read_image(save(colours, "a.png", transparency=(12, 34, 56)))
    expected = np.where((colours == (12, 34, 56)).all(-1, keepdims=True), 255, colours)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_colour_key_in_grey(save, depth):
    values = [17, 99, 200] if depth == 8 else [17, 99 * 257, 65000]
    size = depth // 8
    row = b"".join(value.to_bytes(size, "big") for value in values)
    key = png_chunk(b"tRNS", values[1].to_bytes(2, "big"))
    result = read_image(save(png(3, 1, depth, 0, [row], key), "a.png"))
    scaled = [round(value / (1 if depth == 8 else 257)) for value in values]
    assert result[0, :, 0].tolist() == [scaled[0], 255, scaled[2]]


def test_colour_key_in_16_bit_rgb(save):
    pixels = [(1000, 20000, 60000), (1000, 20000, 300)]
    row = b"".join(struct.pack(">3H", *pixel) for pixel in pixels)
    key = png_chunk(b"tRNS", struct.pack(">3H", *pixels[0]))
    result = read_image(save(png(2, 1, 16, 2, [row], key), "a.png"))
    assert result[0, 0].tolist() == [255, 255, 255]
    assert np.abs(result[0, 1] - np.array(pixels[1]) / 257).max() <= 1


def test_colour_key_in_one_bit(save):
    key = png_chunk(b"tRNS", b"\0\0")
    result = read_image(save(png(8, 1, 1, 0, [b"\x0f"], key), "a.png"))
    assert (result == 255).all()  # black is transparent, the rest is white


# --- depth and colour spaces ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "little tiff", "big tiff", "tiff", "pgm", "jp2"])
def test_16_bit_grey_is_scaled(save, kind):
    values = np.random.default_rng(0).integers(0, 65536, (11, 13)).astype(np.uint16)
    values[0, :3] = 0, 65535, 257 * 128
    if kind == "png":
        path = save(png(13, 11, 16, 0, [row.astype(">u2").tobytes() for row in values]), "a.png")
    elif kind == "little tiff":
        path = save(tiff(13, 11, values.astype("<u2").tobytes(), bits=16), "a.tif")
    elif kind == "big tiff":
        path = save(tiff(13, 11, values.astype(">u2").tobytes(), bits=16, order=">"), "a.tif")
    elif kind == "pgm":
        path = save(b"P5 13 11 65535\n" + values.astype(">u2").tobytes(), "a.pgm")
    else:
        path = save(values, "a." + kind)
    result = read_image(path)
    assert result.shape == (11, 13, 3)
    assert np.abs(result - values[..., None] / 257.0).max() <= 0.51
    assert result[0, :3, 0].tolist() == [0, 255, 128]


def test_16_bit_grey_with_white_zero(save):
    values = np.array([[0, 65535, 257 * 100]], "<u2")
    path = save(tiff(3, 1, values.tobytes(), bits=16, photometric=0), "a.tif")
    assert read_image(path)[0, :, 0].tolist() == [255, 0, 155]


@pytest.mark.parametrize(("compression", "encode"), [(1, bytes), (8, zlib.compress)])
def test_12_bit_tiff(save, compression, encode):
    pixels = b"\xff\xf8\x00"  # 4095, 2048
    path = save(tiff(2, 1, encode(pixels), bits=12, compression=compression), "a.tif")
    assert read_image(path)[0, :, 0].tolist() == [255, 128]


def test_16_bit_rgb_png(save):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    path = save(png(7, 5, 16, 2, [row.astype(">u2").tobytes() for row in values]), "a.png")
    assert np.abs(read_image(path) - values / 257.0).max() <= 1


def test_16_bit_rgba_png(save):
    pixels = struct.pack(">8H", 65535, 0, 30000, 65535, 1, 2, 3, 0)
    result = read_image(save(png(2, 1, 16, 6, [pixels]), "a.png"))
    assert np.abs(result[0, 0] - np.array([255, 0, 30000 / 257])).max() <= 1
    assert result[0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("bits", "sample_format", "kind", "found"),
    [(32, 2, "<i4", "-5 to 70000"), (32, 1, "<u4", "0 to 70000"), (16, 2, "<i2", "-5 to 300")],
)
def test_other_integers_are_refused(save, bits, sample_format, kind, found):
    low, high = (int(part) for part in found.split(" to "))
    path = save(
        tiff(2, 1, np.array([low, high], kind).tobytes(), bits=bits, sample_format=sample_format), "a.tif"
    )
    assert found in reason(path)


def test_float_in_unit_range_is_scaled(save):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    result = read_image(save(Image.fromarray(values), "a.tif"))
    np.testing.assert_array_equal(result[..., 1], np.rint(values * 255))


def test_float_with_white_zero(save):
    values = np.array([0, 1, 0.2], "<f4")
    path = save(tiff(3, 1, values.tobytes(), bits=32, photometric=0, sample_format=3), "a.tif")
    assert read_image(path)[0, :, 0].tolist() == [255, 0, 204]


@pytest.mark.parametrize(
    ("values", "found"), [([0, 255.0], "0 to 255"), ([-0.5, 1], "-0.5 to 1"), ([0, float("nan")], "nan")]
)
def test_other_floats_are_refused(save, values, found):
    message = reason(save(Image.fromarray(np.array([values], np.float32)), "a.tif"))
    assert "floating-point" in message
    assert found in message


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pbm", "a.bmp"])
def test_one_bit(save, name):
    bits = picture()[..., 0] > 128
    result = read_image(save(Image.fromarray(bits), name))
    np.testing.assert_array_equal(result, np.repeat(bits[..., None] * 255, 3, axis=-1))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.pgm", "a.tif"])
def test_grey(save, name):
    grey = picture()[..., 0]
    result = read_image(save(grey, name))
    np.testing.assert_array_equal(result, np.repeat(grey[..., None], 3, axis=-1))


INKS = {
    (0, 0, 0, 0): (255, 255, 255),
    (255, 0, 0, 0): (0, 255, 255),
    (0, 255, 0, 0): (255, 0, 255),
    (0, 0, 255, 0): (255, 255, 0),
    (0, 0, 0, 255): (0, 0, 0),
    (0, 0, 0, 128): (127, 127, 127),
}


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize(("name", "options"), [("a.jpg", {"quality": 95}), ("a.tif", {})])
def test_cmyk(save, ink, name, options):
    # Pillow writes CMYK JPEG as Adobe does: inverted, with Adobe's marker.
    path = save(Image.new("CMYK", (16, 16), ink), name, **options)
    assert name != "a.jpg" or b"Adobe" in path.read_bytes()
    assert np.abs(read_image(path).astype(int) - INKS[ink]).max() <= 3


def test_adobe_ycck_jpeg(save):
    """Transform 2 in Adobe's marker: the first three inks are stored as YCbCr."""
    data = save(Image.new("CMYK", (16, 16), (0, 0, 0, 128)), "plain.jpg").read_bytes()
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    ycck = data[:at] + b"\x02" + data[at + 1 :]
    # Stored are 255, 255, 255, 127, which now mean Y = Cb = Cr = 255, or RGB 255, 121, 255: the
    # inverted inks, of which Adobe stores the complement once more. So ink is 255, 121, 255, 128.
    assert np.abs(read_image(save(ycck, "a.jpg")).astype(int) - (0, 67, 0)).max() <= 3


def test_ycbcr(save):
    colours = Image.new("RGB", (16, 16), (180, 60, 20))
    for name, options in [("a.jpg", {"quality": 95}), ("jpeg.tif", {"compression": "jpeg", "quality": 95})]:
        path = save(colours.convert("YCbCr"), name, **options)
        assert np.abs(read_image(path).astype(int) - (180, 60, 20)).max() <= 4


def test_lab_tiff(save):
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (138, 128, 128)])
    result = read_image(save(lab, "a.tif")).astype(int)
    assert np.abs(result - 129).max() <= 3  # L* = 54 is middle grey


# --- frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.gif", {}),
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.tif", {}),
        ("lzw.tif", {"compression": "tiff_lzw"}),
    ],
)
def test_first_frame(save, name, options):
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "lime", "blue")]
    path = save(frames[0], name, save_all=True, append_images=frames[1:], **options)
    assert (read_image(path) == (255, 0, 0)).all()


def test_multi_picture_jpeg(save):
    first, second = Image.new("RGB", (16, 16), "white"), Image.new("RGB", (16, 16), "black")
    path = save(first, "a.mpo", save_all=True, append_images=[second])
    assert (read_image(path) == 255).all()


# --- ICC profiles ---------------------------------------------------------------------------------

SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_srgb_profile_changes_nothing(save, name):
    path = save(picture(), name, icc_profile=SRGB_PROFILE, lossless=True)
    np.testing.assert_array_equal(read_image(path), picture())


def test_srgb_profile_in_jpeg_changes_nothing(save):
    plain = read_image(save(picture(), "plain.jpg"))
    np.testing.assert_array_equal(read_image(save(picture(), "a.jpg", icc_profile=SRGB_PROFILE)), plain)


@pytest.mark.parametrize("profile", [b"\0", b"not a profile", SRGB_PROFILE[:300], b"\xff" * 4000])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_damaged_profile_is_ignored(save, profile, mode):
    image = Image.fromarray(picture()).convert(mode)
    path = save(image, "a.png", icc_profile=profile)
    np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))


def test_profile_of_another_space_is_ignored(save):
    grey = Image.fromarray(picture()[..., 0])
    path = save(grey, "a.png", icc_profile=rgb_profile((1, 0, 2)))
    np.testing.assert_array_equal(read_image(path), np.asarray(grey.convert("RGB")))
    path = save(picture(), "b.png", icc_profile=grey_profile(1.0))
    np.testing.assert_array_equal(read_image(path), picture())


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_profile_with_swapped_primaries(save, name):
    """In a profile whose "red" is green, the displayed channels are exchanged."""
    path = save(picture(), name, icc_profile=rgb_profile((1, 0, 2)), lossless=True)
    result = read_image(path).astype(int)
    expected = srgb_encode((picture()[..., [1, 0, 2]] / 255.0) ** 2.2)
    assert np.abs(result - expected).max() <= 3


def test_linear_profile(save):
    path = save(picture(), "a.png", icc_profile=rgb_profile(gamma=1.0))
    assert np.abs(read_image(path) - srgb_encode(picture() / 255.0)).max() <= 3


def test_profile_orientation_and_alpha_together(save):
    rgba = rgba_picture()
    path = save(rgba, "a.png", icc_profile=rgb_profile((1, 0, 2)), exif=exif_with(6))
    colours = srgb_encode((rgba[..., [1, 0, 2]] / 255.0) ** 2.2)
    expected = np.rot90(over_white(colours, rgba[..., 3]), -1)
    assert np.abs(read_image(path) - expected).max() <= 3


def test_palette_with_profile(save):
    image, colours, _ = palette_picture()
    path = save(image, "a.png", icc_profile=rgb_profile(gamma=1.0))
    assert np.abs(read_image(path) - srgb_encode(colours / 255)).max() <= 3


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profile(save, mode):
    grey = np.arange(256, dtype=np.uint8)[None]
    path = save(Image.fromarray(grey).convert(mode), "a.png", icc_profile=grey_profile(1.0))
    assert np.abs(read_image(path)[..., 0] - srgb_encode(grey / 255.0)).max() <= 3


def test_cmyk_profile(save):
    # Neutral inks need no chromatic arithmetic: L* = 50 has luminance 0.184, sRGB 119.
    profile = cmyk_profile(ink=(50, 0, 0), paper=(100, 0, 0))
    path = save(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "a.tif", icc_profile=profile)
    assert np.abs(read_image(path).astype(int) - 119).max() <= 3
    path = save(Image.new("CMYK", (8, 8), (0, 90, 90, 0)), "b.tif", icc_profile=profile)
    assert (read_image(path) >= 252).all()


# --- what cannot be read --------------------------------------------------------------------------


def test_a_long_message_of_a_library_ends_between_words():
    message = unreadable.reason(SyntaxError("not this word " * 40), "GIF")
    assert message.startswith("damaged or unsupported GIF: not this word not")
    assert re.search(r"(not|this|word) \.\.\.$", message)
    assert len(message) < 160


def test_missing(tmp_path):
    assert reason(tmp_path / "no.png") == "no such file"
    (tmp_path / "file").write_text("x")
    assert "no such file" in reason(tmp_path / "file" / "no.png")
    assert reason(tmp_path / ("x" * 300))


def test_impossible_names():
    assert reason("a\0b.png")
    assert reason("")
    assert reason("\ud800.png")


def test_dangling_link_says_where_to(tmp_path):
    (tmp_path / "a.png").symlink_to("gone/b.png")
    message = reason(tmp_path / "a.png")
    assert "dangling link" in message
    assert "gone/b.png" in message


def test_link_to_itself(tmp_path):
    (tmp_path / "a.png").symlink_to("a.png")
    assert "leads to itself" in reason(tmp_path / "a.png")


def test_folder(tmp_path):
    assert reason(tmp_path) == "a folder, not a file"


def test_empty_file(save):
    assert reason(save(b"", "a.png")) == "empty file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert "named pipe" in reason(tmp_path / "a.png")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no devices here")
def test_device_does_not_hang():
    assert stat.S_ISCHR(os.stat("/dev/zero").st_mode)
    assert "device" in reason("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(save):
    path = save(picture(), "a.png")
    path.chmod(0)
    assert reason(path) == "permission denied"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"just some text, not an image at all", "not an image"),
        (b"x", "not an image"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "PostScript"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "video"),
    ],
)
def test_not_an_image(save, content, expected):
    assert expected in reason(save(content, "a.jpg"))


TRUNCATABLE = [
    ("a.jpg", {}),
    ("progressive.jpg", {"progressive": True}),
    ("a.png", {}),
    ("a.bmp", {}),
    ("a.gif", {}),
    ("a.webp", {}),
    ("lossless.webp", {"lossless": True}),
    ("a.tif", {}),
    ("lzw.tif", {"compression": "tiff_lzw"}),
    ("a.jp2", {}),
    ("a.ppm", {}),
    ("a.tga", {}),
    ("rle.tga", {"compression": "tga_rle"}),
]
SAYS_TRUNCATED = {".jpg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".tga"}


@pytest.mark.parametrize("completion", [False, True])
@pytest.mark.parametrize(("name", "options"), TRUNCATABLE)
def test_truncated_file_is_never_completed(save, monkeypatch, name, options, completion):
    # pyiqa switches completion on for the whole process while it is imported.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", completion)
    whole = save(picture(90, 130), name, **options).read_bytes()
    for share in (0.3, 0.7, 0.95):
        message = reason(save(whole[: int(len(whole) * share)], "cut" + name))
        if os.path.splitext(name)[1] in SAYS_TRUNCATED:
            assert message == "truncated: the file ends before its image does"
    assert completion == ImageFile.LOAD_TRUNCATED_IMAGES


def test_file_without_its_last_bytes_is_whole_or_refused(save):
    for name, options in TRUNCATABLE:
        path = save(picture(), name, **options)
        expected = read_image(path)
        path.write_bytes(path.read_bytes()[:-3])
        with suppress(ImageError):
            np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.bmp", "a.tif", "a.webp", "a.tga", "a.jp2"])
def test_garbage_raises_nothing_else(save, name):
    """Random bytes anywhere give an array or an `ImageError`, never another error."""
    chance = random.Random(name)
    whole = save(picture(), name).read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 12)):
            damaged[chance.randrange(min(len(damaged), 400))] = chance.randrange(256)
        path = save(bytes(damaged), "damaged")
        with suppress(ImageError):
            result = read_image(path, pixel_limit=1_000_000)
            assert result.dtype == np.uint8
            assert result.shape[2] == 3


@pytest.mark.parametrize(
    "error", [SyntaxError("x"), struct.error("x"), KeyError("x"), RuntimeError(), OSError("x")]
)
def test_any_error_of_a_plugin_is_an_image_error(save, monkeypatch, error):
    def broken(self):
        raise error

    path = save(picture(), "a.png")
    monkeypatch.setattr(Image.Image, "convert", broken)
    monkeypatch.setattr(ImageFile.ImageFile, "load", broken)
    assert reason(path)


def test_out_of_memory(save, monkeypatch):
    def broken(self):
        raise MemoryError

    path = save(picture(), "a.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", broken)
    assert "memory" in reason(path)


# --- size limit -----------------------------------------------------------------------------------


def bomb(width=60_000, height=60_000):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def test_bomb_answers_at_once(save):
    path = save(bomb(), "a.png")
    tracemalloc.start()
    began = time.perf_counter()
    message = reason(path)
    took = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "60000 x 60000" in message
    assert f"{DEFAULT_PIXEL_LIMIT:,}" in message
    assert took < 1
    assert peak < 5_000_000


def test_limit_is_inclusive(save):
    path = save(picture(10, 20), "a.png")
    assert read_image(path, pixel_limit=200).shape == (10, 20, 3)
    message = reason(path, pixel_limit=199)
    assert "20 x 10" in message
    assert "199" in message


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.png", {}), ("a.tif", {}), ("lzw.tif", {"compression": "tiff_lzw"}), ("a.webp", {})],
)
def test_pillows_own_limit_does_not_interfere(save, monkeypatch, name, options):
    path = save(picture(), name, **options)
    expected = read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(read_image(path), expected)
    assert Image.MAX_IMAGE_PIXELS == 10
    assert "limit of 100" in reason(path, pixel_limit=100)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_no_bomb_warning(save, monkeypatch):
    path = save(picture(), "a.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 23 * 37 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(path)


# --- side effects and threads ---------------------------------------------------------------------


def warning_file(save):
    """A JPEG whose EXIF makes Pillow warn."""
    # An orientation, and a description that would lie far outside the block.
    entries = struct.pack("<HHIIHHII", 0x0112, 3, 1, 6, 0x010E, 2, 255, 65535)
    return save(picture(), "warns.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries)


def test_pillows_warnings_are_kept_back(save, capfd):
    path = warning_file(save)
    with warnings.catch_warnings(record=True) as plain:
        warnings.simplefilter("always")
        with Image.open(path) as image:
            image.getexif()
    assert plain, "this file must make Pillow warn"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_image(path)
    assert not caught
    image, _, _ = palette_picture()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(save(image, "a.png", transparency=bytes([0, 85, 170, 255])))
    assert capfd.readouterr() == ("", "")


def test_pillows_log_stays_off_the_screen(save):
    path = save(tiff(2, 1, b"ab", samples=38), "a.tif")
    # In a separate process, because pytest configures logging.
    code = "import sys; from grmp_plugin.data.images import read_image; read_image(sys.argv[1])"
    answer = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "ImageError" in answer.stderr
    assert not answer.stderr.startswith("More samples")


def test_switches_are_put_back(save, monkeypatch):
    path = save(picture(), "a.png")
    filters = list(warnings.filters)
    for wanted in (True, False):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", wanted)
        read_image(path)
        reason(save(b"x", "b.png"))
        assert wanted == ImageFile.LOAD_TRUNCATED_IMAGES
    assert warnings.filters == filters


def test_eight_threads(save, monkeypatch):
    """Good and bad files in parallel give the same results as in a single thread."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    paths, expected = [], []
    for seed in range(4):
        for name, options in [
            ("a.jpg", {}),
            ("a.png", {"icc_profile": rgb_profile(gamma=1.0 + seed)}),
            ("a.tif", {"exif": exif_with(6)}),
            ("a.webp", {}),
        ]:
            paths.append(save(picture(120, 160, seed), f"{seed}{name}", **options))
    paths.append(warning_file(save))
    expected = [read_image(path) for path in paths]
    cut = save(picture(120, 160), "cut.jpg")
    cut.write_bytes(cut.read_bytes()[:4000])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # forces TIFF and WebP to take turns
    filters = list(warnings.filters)
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        order = random.Random(number).sample(range(len(paths)), len(paths))
        for index in order:
            assert "truncated" in reason(cut)
            np.testing.assert_array_equal(read_image(paths[index]), expected[index])
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert Image.MAX_IMAGE_PIXELS == 1000
    assert warnings.filters == filters


def test_import_is_light():
    code = (
        "import sys, grmp_plugin.data.images, grmp_plugin.data.paths;"
        "print([m for m in ('torch', 'cv2', 'pandas', 'PIL.ImageCms') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_files_are_closed(save):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    paths = [
        save(picture(), "a.png"),
        save(picture(), "a.tif"),
        save(b"garbage", "b.png"),
        save(bomb(), "c.png"),
    ]
    before = len(os.listdir("/proc/self/fd"))
    for path in paths * 5:
        with suppress(ImageError):
            read_image(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_profile_builder_is_valid():
    """The handmade profiles must be valid, or the tests above test nothing."""
    for profile in (rgb_profile(), grey_profile(2.2), cmyk_profile((50, 0, 0), (100, 0, 0))):
        assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
