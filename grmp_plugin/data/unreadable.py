"""Say in one short line why an image file cannot be read."""

import errno
import os
import stat
import textwrap

from grmp_plugin.errors import ImageError

EMPTY = "empty file"
NO_MEMORY = "not enough memory to decode it"
_DENIED, _CANNOT = "permission denied", "cannot be read"
# Parts of reasons that are not the image's: another time, or with another package, it may be read.
_MAY_PASS = (_CANNOT, _DENIED, NO_MEMORY, "not supported without", "not supported by Pillow")
TRUNCATED = "truncated: the file ends before its image does"

# What people often keep in an image folder and nothing here reads: (offset, magic bytes, name).
_FOREIGN_KINDS = (
    (4, b"ftyp", "video"),
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

_SYSTEM_REASONS = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ELOOP: "a link that leads to itself",
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file: a part of its path is not a folder",
}


def check_regular_file(name: str) -> None:
    """Raise `ImageError` unless a path names a non-empty regular file; opening a pipe could block forever."""
    try:
        status = os.stat(name)
    except FileNotFoundError as error:
        raise ImageError(_missing(name)) from error
    except (OSError, ValueError) as error:
        raise ImageError(reason(error)) from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(_folder_reason(name))
    for is_kind, kind in _SPECIAL_FILES:
        if is_kind(status.st_mode):
            raise ImageError(f"{kind}, not a file")
    if status.st_size == 0:
        raise ImageError(EMPTY)


def _folder_reason(name: str) -> str:
    try:
        os.scandir(name).close()
    except OSError as error:
        return f"a folder that cannot be searched: {reason(error)}"
    return "a folder, not a file"


def _missing(name: str) -> str:
    if "://" in name:
        return "a web address: download the image first"
    try:
        return f"dangling link: {os.readlink(name)} does not exist"
    except OSError:
        return "no such file"


def may_pass(why: str) -> bool:
    """Whether an image that could not be read for this reason is worth another try, unchanged."""
    return any(part in why for part in _MAY_PASS)


def unread_reason(error: Exception) -> str:
    """Why a file could not be read, for errors of other libraries, too."""
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
        return reason(error)
    return f"{_CANNOT}: {_first_line(error)}"


def reason(error: Exception, kind: str | None = None) -> str:
    """Describe an error of the system or of Pillow in one short line.

    Args:
        error: What was raised while the file was read.
        kind: Format of the file, if it is known.
    """
    if isinstance(error, MemoryError):
        return NO_MEMORY
    if isinstance(error, OSError) and error.errno is not None:
        system = (error.strerror or str(error)).lower()
        return _SYSTEM_REASONS.get(error.errno, f"{_CANNOT}: {system}")
    first_line = _first_line(error)
    if isinstance(error, EOFError) or "truncated" in first_line.lower():
        return TRUNCATED
    return f"damaged or unsupported {kind or 'file'}: {first_line}"


def _first_line(error: Exception) -> str:
    """Its first words, which may come from another library and go on for pages."""
    lines = str(error).strip().splitlines()
    return textwrap.shorten(lines[0], 100, placeholder=" ...") if lines else type(error).__name__


def ends_early(prefix: bytes, size: int) -> bool:
    """Tell from its first bytes whether a WebP or TIFF file lacks its end; Pillow does not report it."""
    if prefix.startswith(b"RIFF"):
        return int.from_bytes(prefix[4:8], "little") + 8 > size
    if prefix.startswith((b"II*\0", b"MM\0*")):
        return int.from_bytes(prefix[4:8], "little" if prefix.startswith(b"II") else "big") >= size
    return False


def unknown_kind(prefix: bytes) -> str:
    """Name the kind of a file that no plugin of Pillow recognises, from its first bytes."""
    for offset, magic, kind in _FOREIGN_KINDS:
        if prefix[offset:].startswith(magic):
            return f"{kind}: not supported"
    return "not an image, or of an unsupported format"


def too_large(width: int, height: int, pixel_limit: int) -> str:
    """Say that an image has more pixels than are decoded."""
    return f"{width} x {height} = {width * height:,} pixels, above the limit of {pixel_limit:,}"
