"""Kinds of image files: which suffixes a folder is searched for, and which kinds need another package."""

import functools
import importlib.util
import os
from dataclasses import dataclass

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".bmp", ".dib", ".tga",
    ".tif", ".tiff", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm",
})
"""Lower-case suffixes that a folder is searched for: common formats that every Pillow reads by itself."""

RAW_SUFFIXES = frozenset({
    ".dng", ".gpr", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".rwl",
    ".raf", ".pef", ".srw", ".dcr", ".kdc", ".k25", ".erf", ".mrw", ".mef", ".mos", ".iiq", ".3fr", ".fff",
    ".x3f", ".raw",
})
"""Lower-case suffixes of raw photos, as cameras write them."""

_UNREAD_SUFFIXES = frozenset({
    ".exr", ".hdr", ".jxr", ".wdp", ".hdp", ".bpg", ".psd", ".psb", ".xcf",
})
# fmt: on


@dataclass(frozen=True)
class Extra:
    """A kind of photographs that only an optional package reads.

    Attributes:
        kind: What the kind is called.
        module: The module that reads it.
        package: The package that has the module.
        extra: The extra of grmp-iqa that installs the package.
    """

    kind: str
    module: str
    package: str
    extra: str

    @property
    def installed(self) -> bool:
        """Whether this Python has the package."""
        return _has_module(self.module)

    @property
    def missing(self) -> str:
        """Why a file of this kind is not read, and what to do."""
        return f"{self.kind}: not supported without {self.package} (pip install 'grmp-iqa[{self.extra}]')"


HEIF = Extra("HEIC", "pillow_heif", "pillow-heif", "heif")
JPEG_XL = Extra("JPEG XL", "pillow_jxl", "pillow-jxl-plugin", "jxl")
RAW = Extra("raw photo", "rawpy", "rawpy", "raw")

_EXTRAS = {
    **dict.fromkeys((".heic", ".heif", ".hif"), HEIF),
    ".jxl": JPEG_XL,
    **dict.fromkeys(RAW_SUFFIXES, RAW),
}
_AVIF_SUFFIXES = (".avif",)


def is_read(path: str) -> bool:
    """Whether a path has the suffix of a kind that is read here, and so belongs into a search."""
    suffix = _suffix(path)
    if suffix in _EXTRAS:
        return _EXTRAS[suffix].installed
    return suffix in IMAGE_SUFFIXES or (suffix in _AVIF_SUFFIXES and pillow_reads_avif())


def read_suffixes() -> list[str]:
    """The suffixes of the kinds that are read here, in order, without the many of raw photos."""
    known = {*IMAGE_SUFFIXES, *_AVIF_SUFFIXES, *_EXTRAS} - RAW_SUFFIXES
    return sorted(suffix for suffix in known if is_read(f"image{suffix}"))


def unread_kind(path: str) -> str | None:
    """The kind of an image file that is not read here, such as `HEIC`; None for all other files."""
    suffix = _suffix(path)
    known = suffix in _UNREAD_SUFFIXES or suffix in _EXTRAS or suffix in _AVIF_SUFFIXES
    return suffix[1:].upper() if known and not is_read(path) else None


def extra_of(kind: str) -> Extra | None:
    """The package that would read a kind which `unread_kind` named."""
    return _EXTRAS.get(f".{kind.lower()}")


@functools.cache
def pillow_reads_avif() -> bool:
    """Whether this Pillow reads AVIF: from 11.3 on, where it was built with it."""
    try:
        from PIL import AvifImagePlugin
    except ImportError:
        return False
    return bool(AvifImagePlugin.SUPPORTED)


@functools.cache
def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()
