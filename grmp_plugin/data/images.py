"""Decode image files to 8-bit sRGB, as a viewer shows them, and say briefly why one cannot be."""

import errno
import functools
import hashlib
import io
import logging
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

import numpy as np
from PIL import Image, ImageFile

from grmp_plugin.errors import ImageError

DEFAULT_PIXEL_LIMIT = 200_000_000
"""Largest width x height that is decoded: 600 MB as RGB, above any camera, below most bombs."""

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif", ".bmp", ".dib", ".tga",
    ".tif", ".tiff", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm",
})
# fmt: on
"""Lower-case suffixes that a folder is searched for: common pictures that Pillow reads by itself."""

# Pillow reads EPS by starting Ghostscript on it: programs in strangers' files are not run here.
_EXCLUDED_FORMATS = frozenset({"EPS"})

# What people often have in an image folder that Pillow cannot read: (offset, magic bytes, name).
_FOREIGN_KINDS = (
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyp", "video"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"PK\x03\x04", "zip archive"),
    (0, b"<", "XML, SVG or HTML text"),
)

_SPECIAL_FILES = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

# EXIF orientation -> the operation that turns the stored pixels upright; 1 needs none.
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_TRUNCATED = "truncated: the file ends before its image does"

_TIFF_BITS_PER_SAMPLE = 258
_TIFF_PHOTOMETRIC = 262
_TIFF_WHITE_IS_ZERO = 0

# Encoders round sRGB's curve and primaries differently; beyond this a profile means other colours.
_SRGB_TOLERANCE = 2


def pixels_digest(image: np.ndarray) -> str:
    """SHA-256 of decoded pixels, (H, W, 3) uint8: the same for all files that show the same picture."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def read_image(path: str | os.PathLike[str], *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> np.ndarray:
    """Read an image file as a viewer shows it.

    EXIF orientation is applied, transparency laid over white, an embedded ICC profile converted to
    sRGB, 16-bit grey scaled to 8 bit, and of several frames or pages the first one taken. Untagged
    or sRGB files of 8 bit keep their exact values. May be called from several threads at once.

    Args:
        path: A regular file, or a link to one.
        pixel_limit: Largest width x height, in pixels, that is decoded; checked in the header.

    Returns:
        (H, W, 3) uint8, RGB, writable and contiguous.

    Raises:
        ImageError: The file is missing, not an image, damaged, truncated, too large or unreadable.
            The message is short and leaves the path out, for a table in which the row names it.
    """
    name = os.fspath(path)
    _check_regular_file(name)
    with _pillow_guard():
        try:
            return _decode(name, pixel_limit)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError(f"larger than the limit of {pixel_limit:,} pixels") from error
        # On garbage Pillow's plugins raise nearly anything; whatever it is, this one file is at fault.
        except Exception as error:
            raise ImageError(_reason(error)) from error


def pillow_pixels(image: Image.Image, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> np.ndarray:
    """Decode a Pillow image exactly as `read_image` decodes a file with its content and metadata.

    Args:
        image: In any mode, loaded or not; a file that it was opened from must still be open.
        pixel_limit: Largest width x height, in pixels.

    Returns:
        (H, W, 3) uint8, RGB, writable and contiguous.

    Raises:
        ImageError: When the image has no pixels, is too large or cannot be loaded.
    """
    width, height = image.size
    if width * height > pixel_limit:
        raise ImageError(_too_large(width, height, pixel_limit))
    if not width * height:
        raise ImageError(f"no pixels: {width} x {height}")
    with _pillow_guard():
        try:
            _reduce_colour_key(image)
            image.load()
            return _as_shown(image)
        except ImageError:
            raise
        # As for files: whatever a plugin raises, this image is at fault.
        except Exception as error:
            raise ImageError(_reason(error, image.format)) from error


def _check_regular_file(name: str) -> None:
    """Refuse what is no file to read; opening a pipe or a device could wait for ever."""
    try:
        status = os.stat(name)
    except FileNotFoundError as error:
        raise ImageError(_missing(name)) from error
    except (OSError, ValueError) as error:
        raise ImageError(_reason(error)) from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(_folder_reason(name))
    for is_kind, kind in _SPECIAL_FILES:
        if is_kind(status.st_mode):
            raise ImageError(f"{kind}, not a file")
    if status.st_size == 0:
        raise ImageError("empty file")


def _folder_reason(name: str) -> str:
    try:
        os.scandir(name).close()
    except OSError as error:
        return f"a folder that cannot be searched: {_reason(error)}"
    return "a folder, not a file"


def _missing(name: str) -> str:
    if "://" in name:
        return "a web address: download the image first"
    try:
        return f"dangling link: {os.readlink(name)} does not exist"
    except OSError:
        return "no such file"


def _reason(error: Exception, kind: str | None = None) -> str:
    """Return one short line for an error of the system or of Pillow; `kind` is the file's format."""
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, OSError) and error.errno is not None:
        return _system_reason(error)
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, EOFError) or "truncated" in first_line.lower():
        return _TRUNCATED
    return f"damaged or unsupported {kind or 'file'}: {first_line[:80]}"


def _system_reason(error: OSError) -> str:
    known = {
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.ELOOP: "a link that leads to itself",
        errno.ENOENT: "no such file",
        errno.ENOTDIR: "no such file: a part of its path is not a folder",
    }
    return known.get(error.errno or 0) or f"cannot be read: {(error.strerror or str(error)).lower()}"


class _PillowGuard:
    """Switches that Pillow and Python keep for the whole process, held right while anybody reads.

    Pillow has no per-call setting to refuse truncated files or to keep warnings back, and
    `warnings.catch_warnings` undoes other threads' changes. So threads are counted: the first one
    in sets the switches, the last one out puts them back.
    """

    # The comment in the pattern tells our entry from an equal one of somebody else.
    _FILTER = ("ignore", None, Warning, re.compile(r"PIL\.(?#grmp)"), 0)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._completion_wanted = False

    def enter(self) -> None:
        with self._lock:
            self._readers += 1
            # Some libraries, pyiqa among them, switch silent completion on, at any time.
            self._completion_wanted |= ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            # `warnings.filterwarnings` would make Python forget which warnings it has shown already.
            filters = cast("list[object]", warnings.filters)
            if self._FILTER not in filters:
                filters.insert(0, self._FILTER)

    def leave(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers:
                return
            ImageFile.LOAD_TRUNCATED_IMAGES |= self._completion_wanted
            self._completion_wanted = False
            with suppress(ValueError):
                cast("list[object]", warnings.filters).remove(self._FILTER)


_GUARD = _PillowGuard()
# Pillow logs some damage; where nobody has set logging up, Python would print it on the screen.
logging.getLogger("PIL").addHandler(logging.NullHandler())
_LIFTED_LIMIT_LOCK = threading.Lock()


@contextmanager
def _pillow_guard() -> Iterator[None]:
    _GUARD.enter()
    try:
        yield
    finally:
        _GUARD.leave()


@contextmanager
def _lifted_limit(pixel_limit: int) -> Iterator[None]:
    """Raise Pillow's own limit for the few formats that check it where nobody can step in."""
    with _LIFTED_LIMIT_LOCK:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = pixel_limit
        try:
            yield
        finally:
            if pixel_limit == Image.MAX_IMAGE_PIXELS:
                Image.MAX_IMAGE_PIXELS = before


def _decode(name: str, pixel_limit: int) -> np.ndarray:
    try:
        return _decode_once(name, pixel_limit)
    except Image.DecompressionBombError:
        # TIFF and WebP beyond Pillow's limit (179 million pixels by default): rare, so one at a time.
        with _lifted_limit(pixel_limit):
            return _decode_once(name, pixel_limit)


def _decode_once(name: str, pixel_limit: int) -> np.ndarray:
    with open(name, "rb") as file:
        image = _open_header(file)
        width, height = image.size
        if width * height > pixel_limit:
            raise ImageError(_too_large(width, height, pixel_limit))
        _reduce_colour_key(image)
        _load(image)
        return _as_shown(image)


def _too_large(width: int, height: int, pixel_limit: int) -> str:
    return f"{width} x {height} = {width * height:,} pixels, above the limit of {pixel_limit:,}"


def _load(image: ImageFile.ImageFile) -> None:
    try:
        image.load()
    except (Image.DecompressionBombError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(_reason(error, image.format)) from error


def _open_header(file: BinaryIO) -> ImageFile.ImageFile:
    """Find the plugin that understands the file; no pixel is decoded.

    `Image.open` does the same, but also applies Pillow's own limit, which can only be changed for
    all threads at once.
    """
    prefix = file.read(16)
    failures: list[str] = []
    tried = set(_EXCLUDED_FORMATS)
    # The common formats first: importing all plugins takes a while.
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for format_name in tuple(Image.ID):
            if format_name not in tried:
                tried.add(format_name)
                image = _try_format(format_name, file, prefix, failures)
                if image is not None:
                    return image
    if failures and _ends_early(prefix, os.fstat(file.fileno()).st_size):
        raise ImageError(_TRUNCATED)
    raise ImageError(failures[0] if failures else _unknown_kind(prefix))


def _try_format(
    format_name: str, file: BinaryIO, prefix: bytes, failures: list[str]
) -> ImageFile.ImageFile | None:
    factory, accept = Image.OPEN[format_name]
    verdict = accept is None or _verdict(accept, prefix)
    if isinstance(verdict, str):
        failures.append(verdict)
    if verdict is not True:
        return None
    try:
        file.seek(0)
        return factory(file, "")
    except (Image.DecompressionBombError, MemoryError):
        raise
    except Exception as error:
        # A plugin that accepts anything and fails says nothing about the file.
        if accept:
            failures.append(_reason(error, format_name))
    return None


def _verdict(accept: Callable[[bytes], bool | str], prefix: bytes) -> bool | str:
    """Ask whether a file begins like a format; a text says that this build of Pillow lacks it."""
    try:
        verdict = accept(prefix)
    except Exception:  # too short a file for this one's question
        return False
    return verdict if isinstance(verdict, str) else bool(verdict)


def _ends_early(prefix: bytes, size: int) -> bool:
    """Tell from its first bytes whether a WebP or TIFF file misses its end; Pillow does not say so."""
    if prefix.startswith(b"RIFF"):
        return int.from_bytes(prefix[4:8], "little") + 8 > size
    if prefix.startswith((b"II*\0", b"MM\0*")):
        return int.from_bytes(prefix[4:8], "little" if prefix.startswith(b"II") else "big") >= size
    return False


def _unknown_kind(prefix: bytes) -> str:
    for offset, magic, kind in _FOREIGN_KINDS:
        if prefix[offset:].startswith(magic):
            return f"{kind}: not supported"
    return "not an image, or of an unsupported format"


def _as_shown(image: Image.Image) -> np.ndarray:
    """Return a loaded image upright, opaque and in sRGB: (H, W, 3) uint8."""
    # TIFF turns itself while loading, so the orientation must be asked for afterwards.
    turn = _UPRIGHT.get(_orientation(image))
    colour, alpha = _split_alpha(image)
    rgb = _to_srgb(colour, image.info.get("icc_profile"))
    if alpha is not None:
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    return np.array(rgb if turn is None else rgb.transpose(turn))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    # Damaged EXIF raises nearly anything, and viewers show such an image as it is stored.
    except Exception:
        return 1


def _reduce_colour_key(image: Image.Image) -> None:
    """Cut a 16-bit RGB colour key to the high byte, as Pillow does with the pixels it belongs to."""
    key = image.info.get("transparency")
    tiles = getattr(image, "tile", [])
    if isinstance(key, tuple) and any(";16" in str(tile[3]) for tile in tiles):
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the 8-bit colours, and how opaque they are where the file says so (mode L)."""
    if image.mode == "F":
        return _grey_from_float(image), None
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _grey_from_integers(image)
    if not image.has_transparency_data:
        return image, None
    # Grey stays grey: a grey ICC profile fits nothing else.
    grey = image.mode in ("1", "L", "LA", "La")
    try:
        with_alpha = image.convert("LA" if grey else "RGBA")
    except (ValueError, TypeError, OverflowError):
        return image, None  # a colour key that cannot be meant
    return with_alpha.convert("L" if grey else "RGB"), with_alpha.getchannel("A")


def _tiff_tag(image: Image.Image, tag: int) -> object:
    """Return the first value of a tag; None where the file is no TIFF or lacks it."""
    value = getattr(image, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) and value else value


def _grey_from_integers(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Scale 16-bit grey to 8 bit, so that full scale is white: 65535 -> 255, by 1/257."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    # Unsigned 16-bit TIFF is "I;16"; mode "I" means signed or 32 bit, whose white nobody knows.
    unscaled = image.mode == "I" and image.format == "TIFF"
    if unscaled or low < 0 or high > 65535:
        raise ImageError(f"signed or 32-bit integer pixels ({low} to {high}): save it with 8 or 16 bit")
    white = 4095 if _tiff_tag(image, _TIFF_BITS_PER_SAMPLE) == 12 else 65535
    grey = ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    if _tiff_tag(image, _TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        grey = 255 - grey
    key = image.info.get("transparency")
    alpha = Image.fromarray((values != key).astype(np.uint8) * 255) if isinstance(key, int) else None
    return Image.fromarray(grey), alpha


def _grey_from_float(image: Image.Image) -> Image.Image:
    """Scale floating-point grey in [0, 1] to 8 bit."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # also where one of them is not a number
        raise ImageError(f"floating-point pixels from {low:g} to {high:g}: only 0 to 1 is understood")
    if _tiff_tag(image, _TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        values = 1 - values
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: object) -> Image.Image:
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if isinstance(profile, bytes) and profile and _changes_colours(profile, image.mode):
        return _apply_profile(image, profile)
    return image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert from an ICC profile to sRGB; raises nearly anything where the profile is damaged."""
    from PIL import ImageCms

    grey = image.mode == "L"
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        image.mode,
        "RGB",
        # Optimised, a grey curve is cut to 33 points, 10 levels off in the shadows.
        flags=ImageCms.Flags.NOOPTIMIZE if grey else ImageCms.Flags.NONE,
    )
    shown = ImageCms.applyTransform(_chart("L") if grey else image, transform)
    if shown is None:  # Pillow's signature allows it, for transforms in place
        raise ImageError("no colours from its ICC profile")
    return Image.fromarray(np.asarray(shown)[0][np.asarray(image)]) if grey else shown


@functools.lru_cache(maxsize=32)
def _changes_colours(profile: bytes, mode: str) -> bool:
    """Tell whether a profile is usable and anything else than sRGB.

    Judged by what it does to a chart of colours: its name would have to be matched against the
    dozens that sRGB goes by, and equal profiles differ in their bytes.
    """
    chart = _chart(mode)
    try:
        shown = _apply_profile(chart, profile)
    # Viewers ignore a profile that is damaged or belongs to another kind of image.
    except Exception:
        return False
    before = np.asarray(chart.convert("RGB"), dtype=np.int16)
    return bool(np.abs(np.asarray(shown, dtype=np.int16) - before).max() > _SRGB_TOLERANCE)


def _chart(mode: str) -> Image.Image:
    """Draw the grey ramp and a cube of 6 levels a channel, in one row."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    ramp = np.repeat(np.arange(256)[:, None], 3, axis=1)
    cube = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([ramp, cube]).astype(np.uint8)[None]).convert(mode)
