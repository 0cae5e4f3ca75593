"""Depths, planes, byte orders and compressions: decoded as they are, or refused; never wrongly."""

import itertools

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from grmp_plugin.data.images import pillow_pixels, read_image
from grmp_plugin.errors import ImageError

HEIGHT, WIDTH = 48, 64
COLOURS = {"minisblack": 1, "miniswhite": 1, "rgb": 3}
EXTRAS = (None, "unspecified", "assocalpha", "unassalpha")
# tifffile writes all but zlib with imagecodecs.
COMPRESSIONS = {
    "none": {},
    "zlib": {"compression": "zlib"},
    "zlib differences": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "lzw differences": {"compression": "lzw", "predictor": True},
    "packbits": {"compression": "packbits"},
}
BY_COMPRESSION = pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)


def samples(dtype, count, seed=0):
    full = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, full + 1, (HEIGHT, WIDTH, count)).astype(dtype)


def shown(values, photometric, extra):
    """What a viewer shows, in exact arithmetic: (H, W, 3), 255 for white."""
    share = values / np.iinfo(values.dtype).max * 255
    count = COLOURS[photometric]
    colour = np.broadcast_to(share[..., :count], (*share.shape[:2], 3))
    if photometric == "miniswhite":
        colour = 255 - colour
    if extra in (None, "unspecified"):
        return colour
    alpha = share[..., count : count + 1] / 255
    return colour * (1 if extra == "assocalpha" else alpha) + 255 * (1 - alpha)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("photometric", COLOURS)
@pytest.mark.parametrize("extra", EXTRAS)
def test_tiff_is_read_rightly_or_refused(tmp_path, dtype, photometric, extra):
    path, read = tmp_path / "a.tif", []
    layouts = ({"rowsperstrip": 16}, {"tile": (16, 32)})
    for planes, order, compression, layout in itertools.product(
        ("contig", "separate"), "<>", COMPRESSIONS, layouts
    ):
        values = samples(dtype, COLOURS[photometric] + (extra is not None))
        if extra == "assocalpha":
            values[..., :-1] = np.minimum(values[..., :-1], values[..., -1:])
        if values.shape[-1] == 1 and planes == "separate":
            continue
        options = {"photometric": photometric, "byteorder": order, **COMPRESSIONS[compression], **layout}
        if values.shape[-1] > 1:
            options["planarconfig"] = planes
        if extra is not None:
            options["extrasamples"] = [extra]
        stored = np.moveaxis(values, -1, 0) if planes == "separate" else values
        tifffile.imwrite(path, stored if values.shape[-1] > 1 else values[..., 0], **options)
        try:
            result = read_image(path)
        except ImageError:
            continue
        read.append(planes)
        # Pillow cuts to 8 bits before the alpha is applied, which enlarges the error.
        tolerance = 1 if extra in (None, "unspecified") else 3
        difference = np.abs(result - shown(values, photometric, extra)).max()
        assert difference <= tolerance, (planes, order, compression, layout)
    if photometric == "rgb":
        # Only planes of which Pillow drops one are refused: uncompressed 8-bit ones; all with a Pillow that
        # calls them RGBX.
        refused = 4 if (dtype, extra) == ("u1", "unspecified") else 0
        with Image.open(path) as opened:
            refused = 4 * len(COMPRESSIONS) if opened.mode == "RGBX" else refused
        assert len(read) == 8 * len(COMPRESSIONS) - refused
    elif extra is None and (photometric, dtype) != ("miniswhite", "u2"):
        assert len(read) == 4 * len(COMPRESSIONS)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("order", ["<", ">"])
@BY_COMPRESSION
def test_floats_of_any_byte_order(tmp_path, photometric, order, compression):
    values = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, byteorder=order, **compression)
    expected = np.rint((1 - values if photometric == "miniswhite" else values) * 255)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], expected)
    with Image.open(tmp_path / "a.tif") as opened:
        np.testing.assert_array_equal(pillow_pixels(opened)[..., 0], expected)


@pytest.mark.parametrize(
    ("dtype", "photometric"),
    [*itertools.product(("i2", "i4", "u4", "f2", "f8"), COLOURS), ("f4", "rgb")],
)
def test_depths_without_a_known_white_are_refused(tmp_path, dtype, photometric):
    values = samples("u1", COLOURS[photometric]).astype(dtype)
    for order, compression in itertools.product("<>", COMPRESSIONS.values()):
        stored = values if photometric == "rgb" else values[..., 0]
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, byteorder=order, **compression)
        with pytest.raises(ImageError):
            read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate"])
@pytest.mark.parametrize("predictor", [1, 2])
def test_tiff_compressions(tmp_path, compression, predictor):
    values = samples("u1", 3)
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path, compression=compression, tiffinfo={317: predictor})
    np.testing.assert_array_equal(read_image(path), values)


@BY_COMPRESSION
@pytest.mark.parametrize("factor", [1, 257])
def test_planes_of_inks(tmp_path, compression, factor):
    """Interleaved CMYK is tested elsewhere; separate planes show the same."""
    inks = samples("u1", 4)
    values = inks if factor == 1 else inks.astype("u2") * factor
    results = []
    for planes, stored in (("contig", values), ("separate", np.moveaxis(values, -1, 0))):
        options = {"photometric": "separated", "planarconfig": planes, **compression}
        tifffile.imwrite(tmp_path / "a.tif", stored, **options)
        results.append(read_image(tmp_path / "a.tif"))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(("photometric", "count"), [("cielab", 3), ("minisblack", 2)])
@BY_COMPRESSION
def test_planes_that_pillow_puts_together_wrongly_are_refused(tmp_path, photometric, count, compression):
    options = {"extrasamples": ["unassalpha"]} if count == 2 else {}
    stored = np.moveaxis(samples("u1", count), -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric=photometric,
        planarconfig="separate",
        **compression,
        **options,
    )
    with pytest.raises(ImageError, match="separate planes"):
        read_image(tmp_path / "a.tif")


def test_turned_planes(tmp_path):
    values = samples("u2", 3)
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(values, -1, 0),
        photometric="rgb",
        planarconfig="separate",
        extratags=[(274, "H", 1, 6, True)],
    )
    expected = np.rot90(values / 257.0, -1)
    assert np.abs(read_image(tmp_path / "a.tif") - expected).max() <= 1
    with Image.open(tmp_path / "a.tif") as opened:
        assert np.abs(pillow_pixels(opened) - expected).max() <= 1


def test_signed_bytes_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", samples("i1", 1)[..., 0])
    with pytest.raises(ImageError, match="signed"):
        read_image(tmp_path / "a.tif")


# --- JPEG 2000 ------------------------------------------------------------------------------------


def jp2(path, values):
    """Write (H, W, C) uint16 RGB(A) without loss."""
    bgr = values[..., [2, 1, 0, 3][: values.shape[-1]]]
    assert cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])


@pytest.mark.parametrize("count", [3, 4])
def test_jpeg_2000_of_16_bit(tmp_path, count, capfd):
    values = samples("u2", count)
    values[:4] = 65535
    jp2(tmp_path / "a.jp2", values)
    expected = shown(values, "rgb", None if count == 3 else "unassalpha")
    result = read_image(tmp_path / "a.jp2")
    assert np.abs(result - expected).max() <= (1 if count == 3 else 2)
    assert (result[:4] == 255).all()
    assert result.flags.writeable
    with Image.open(tmp_path / "a.jp2") as opened:
        np.testing.assert_array_equal(pillow_pixels(opened), result)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_jpeg_2000_of_other_depths(tmp_path, bits):
    values = samples("u2", 3) >> (16 - bits)
    values[:4] = (1 << bits) - 1
    for codec in ("jp2", "j2k"):
        content = imagecodecs.jpeg2k_encode(
            values, level=0, codecformat=codec, bitspersample=bits, reversible=True
        )
        (tmp_path / "a.jp2").write_bytes(content)
        assert np.abs(read_image(tmp_path / "a.jp2") - values / ((1 << bits) - 1) * 255).max() <= 0.51


def test_jpeg_2000_of_8_bit_is_pillows(tmp_path):
    values = samples("u1", 3)
    Image.fromarray(values).save(tmp_path / "a.jp2", irreversible=False)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jp2"), values)


@pytest.mark.parametrize("name", ["a.jp2", "a.j2k"])
def test_signed_or_mixed_depths_are_refused(tmp_path, name):
    jp2(tmp_path / "a.jp2", samples("u2", 3))
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    for depth in (0x80 | 15, 11):
        content[start + 42] = depth
        (tmp_path / name).write_bytes(content if name == "a.jp2" else content[start:])
        with pytest.raises(ImageError, match=r"JPEG 2000 with .*-bit colours"):
            read_image(tmp_path / name)


def test_jpeg_2000_in_another_colour_space_is_refused(tmp_path):
    jp2(tmp_path / "a.jp2", samples("u2", 3))
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    at = content.index(b"colr")
    assert content[at + 4 : at + 11] == b"\x01\0\0\0\0\0\x10"
    content[at + 10] = 18  # sYCC
    (tmp_path / "a.jp2").write_bytes(content)
    with pytest.raises(ImageError, match="unsupported kind"):
        read_image(tmp_path / "a.jp2")


def test_truncated_deep_jpeg_2000(tmp_path, capfd):
    jp2(tmp_path / "a.jp2", samples("u2", 3))
    content = (tmp_path / "a.jp2").read_bytes()
    for share in (0.3, 0.6, 0.9):
        (tmp_path / "a.jp2").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageError):
            read_image(tmp_path / "a.jp2")
    assert capfd.readouterr() == ("", "")
