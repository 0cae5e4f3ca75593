"""Image files that are broken in every way that a test can produce."""

import io
import os
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image


def _encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _huge_png() -> bytes:
    """A header of 60000 x 60000 pixels with almost no data."""
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    pixels = _png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + _png_chunk(b"IEND", b"")


def make_broken_folder(path: Path) -> dict[str, str]:
    """Fill a folder with readable images and with files broken in every way that a test can produce.

    Returns:
        Name, relative to the folder and with `/`, -> kind. Files of kind "ok" can be read; "ignored" files
        have no image suffix or are hidden, so that a search of the folder omits them; files of all other
        kinds are listed and cannot be read: "truncated", "damaged", "empty", "not an image", "unsupported",
        "too large", "dangling link", "link loop", "pipe".
    """
    path.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.random.default_rng(7).integers(0, 256, (48, 64, 3)).astype(np.uint8))
    jpeg, png = _encoded(picture, "JPEG"), _encoded(picture, "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    grey16 = Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21)
    rgba = picture.copy()
    rgba.putalpha(128)
    # A photograph of a phone, broken off: whether its kind is read depends on the extra.
    phone = "damaged" if find_spec("pillow_heif") else "unsupported"
    contents = {
        "good.jpg": ("ok", jpeg),
        "GOOD2.PNG": ("ok", png),
        "good 10 with späces.png": ("ok", png),
        "brackets[1].png": ("ok", png),
        "turned.jpg": ("ok", _encoded(picture, "JPEG", exif=turned)),
        "bad_exif.jpg": ("ok", _encoded(picture, "JPEG", exif=b"Exif\0\0" + b"\xff" * 40)),
        "bad_profile.png": ("ok", _encoded(picture, "PNG", icc_profile=b"no profile")),
        "alpha.png": ("ok", _encoded(rgba, "PNG")),
        "grey16.png": ("ok", _encoded(grey16, "PNG")),
        "animated.gif": ("ok", _encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(90)])),
        "cmyk.jpg": ("ok", _encoded(picture.convert("CMYK"), "JPEG")),
        "wrong_suffix.bmp": ("ok", png),
        "nested/good.webp": ("ok", _encoded(picture, "WEBP")),
        "nested/cut.webp": ("truncated", _encoded(picture, "WEBP", lossless=True)[:900]),
        "cut.jpg": ("truncated", jpeg[: len(jpeg) // 2]),
        "cut.png": ("truncated", png[: len(png) // 2]),
        "cut.bmp": ("truncated", _encoded(picture, "BMP")[:5000]),
        "damaged.png": ("damaged", png[:60] + b"\0" * 40 + png[100:]),
        "header_only.jpg": ("damaged", jpeg[:3] + b"\xff" * 20),
        "float.tif": ("damaged", _encoded(Image.new("F", (8, 8), 300.0), "TIFF")),
        "empty.png": ("empty", b""),
        "text.jpg": ("not an image", b"this is only text\n"),
        "page.jpg": ("unsupported", b"<!DOCTYPE html><title>404</title>"),
        "phone.jpg": (phone, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        "huge.png": ("too large", _huge_png()),
        "notes.txt": ("ignored", b"no image\n"),
        ".hidden.png": ("ignored", png),
        ".cache/thumbnail.png": ("ignored", png),
    }
    kinds = {}
    for name, (kind, content) in contents.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
        kinds[name] = kind
    for name, target, kind in [
        ("link.png", "good.jpg", "ok"),
        ("dangling.png", "gone.png", "dangling link"),
        ("loop.png", "loop.png", "link loop"),
    ]:
        (path / name).symlink_to(target)
        kinds[name] = kind
    if hasattr(os, "mkfifo"):
        os.mkfifo(path / "pipe.png")
        kinds["pipe.png"] = "pipe"
    return kinds
