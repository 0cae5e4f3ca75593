"""Turn files, folders, patterns and `-` into a list of image files.

`glob` and `pathlib` are not used for the search: their `**` follows links in circles or not at all, they skip
what cannot be read without a word, and they do not prefer a folder that is really called `photos [2020]`.
"""

import fnmatch
import os
import re
import sys
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from pathlib import PurePath
from typing import TextIO

from grmp_plugin.data.images import IMAGE_SUFFIXES
from grmp_plugin.errors import InputError

STDIN = "-"
"""The argument that means paths on standard input; a file of that name is `./-`."""

_LOOKED_FOR = ", ".join(sorted(IMAGE_SUFFIXES))


def expand_paths(
    arguments: Sequence[str], *, recursive: bool = True, stdin: TextIO | None = None
) -> list[str]:
    """List the image files that the arguments name, in their order.

    An argument is, tried in this order: `-` for standard input (one path per line, or separated by NUL as
    `find -print0` prints them; no patterns); an existing file, kept whatever its suffix; an existing folder,
    searched for image suffixes; a pattern with `*`, `?`, `[...]` or `**`; anything else is kept as a missing
    file. Files found in folders and by patterns come in natural order (`img2` before `img10`), without hidden
    ones. A pattern keeps image suffixes only, unless it spells the suffix itself (`*.dat`); folders that it
    matches are searched.

    Nothing that was named is lost: missing files, dangling links and folders that cannot be read are listed
    like images, for `read_image` to report.

    A file appears once, however often it is reached: two paths are the same file if they end in the same name
    in the same real folder. Links to folders are thus followed, but two links of different names to one file
    are two entries, since ratings may list the image under either name.

    Args:
        arguments: Paths, patterns or `-`.
        recursive: Search the folders inside folders as well.
        stdin: Read for `-`; standard input by default.

    Returns:
        Paths as the user would write them: an argument, and for a file in a folder its path joined on.

    Raises:
        InputError: No arguments, a folder without images, a pattern without matches, or `-` with nothing to
            read.
    """
    if not arguments:
        raise InputError(
            "No images given. Name files, folders or patterns, or - for paths on standard input."
        )
    found: dict[tuple[str, str], str] = {}
    real_folders: dict[str, str] = {}
    for argument in dict.fromkeys(arguments):
        for path in _expand(argument, recursive, stdin):
            found.setdefault(_identity(path, real_folders), path)
    return list(found.values())


def _expand(argument: str, recursive: bool, stdin: TextIO | None) -> Iterator[str]:
    if argument == STDIN:
        for path in _read_paths(stdin or sys.stdin):
            yield from _expand_path(path, recursive)
    elif _has_magic(argument) and not os.path.lexists(argument):
        yield from _expand_pattern(argument, recursive)
    else:
        yield from _expand_path(argument, recursive)


def _identity(path: str, real_folders: dict[str, str]) -> tuple[str, str]:
    """Return the real folder and the name; a link in the last component is not followed."""
    if "\0" in path:  # not a possible name: read_image reports it
        return "", path
    folder, name = os.path.split(path)
    if name in ("", os.curdir, os.pardir):  # an unreadable folder, named `photos/` or `..`
        folder, name = os.path.split(os.path.realpath(path))
    if folder not in real_folders:
        real_folders[folder] = os.path.normcase(os.path.realpath(folder))
    return real_folders[folder], os.path.normcase(name)


def _read_paths(stream: TextIO | None) -> list[str]:
    if stream is None:  # a program without a console
        raise InputError("-: there is no standard input to read paths from.")
    # File names are bytes: decoded as the system decodes them, names that are not UTF-8 survive.
    raw = getattr(stream, "buffer", None)
    text = os.fsdecode(raw.read()) if raw is not None else stream.read()
    if "\0" in text:
        paths = [path for path in text.split("\0") if path]
    else:
        # Not splitlines(), which also splits at characters that may occur in a name.
        lines = (line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n"))
        paths = [line for line in lines if line.strip()]
    if not paths:
        raise InputError("-: standard input is empty; write one path per line.")
    return paths


def _expand_path(path: str, recursive: bool) -> Iterator[str]:
    if not path:
        raise InputError("An empty path was given. Name a file, a folder or a pattern.")
    if not os.path.isdir(path):
        yield path
        return
    images = list(_search_folder(path, recursive))
    if not images:
        where = "" if recursive else "; folders inside it are not searched"
        raise InputError(f"'{path}': no images in this folder. Looked for {_LOOKED_FOR}{where}.")
    yield from images


def _search_folder(folder: str, recursive: bool) -> Iterator[str]:
    """Yield the images in a folder, and the folders that cannot be read."""
    for path, kind in _walk(folder, recursive):
        if kind is _Kind.LOCKED or (kind is _Kind.FILE and _is_image_name(path)):
            yield path


class _Kind(Enum):
    FILE = auto()
    FOLDER = auto()
    LOCKED = auto()  # a folder that cannot be read


def _walk(top: str, recursive: bool = True) -> Iterator[tuple[str, _Kind]]:
    """Yield a folder and everything visible below it in natural order, each real folder once.

    An explicit stack instead of `os.walk`: folders can be nested deeper than Python recurses, links lead in
    circles, and files and folders are listed in one common order.
    """
    visited: set[str] = set()
    stack = [top]
    while stack:
        path = stack.pop()
        if path != top and not os.path.isdir(path):
            yield path, _Kind.FILE
            continue
        real = os.path.realpath(path)
        if real in visited or (path != top and not recursive):
            continue
        visited.add(real)
        try:
            names = _visible_names(path)
        except OSError:
            yield path, _Kind.LOCKED
            continue
        yield path, _Kind.FOLDER
        stack += [os.path.join(path, name) for name in reversed(names)]


def _is_image_name(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def _visible_names(folder: str) -> list[str]:
    """Return the names in a folder in natural order, without hidden ones; OSError if unreadable."""
    names = (name for name in os.listdir(folder or os.curdir) if not name.startswith("."))
    return sorted(names, key=natural_key)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts `img2` before `img10` and ignores the case of letters."""
    # Splitting at a group alternates text and digits, so equal positions hold equal types.
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def _has_magic(text: str) -> bool:
    return any(character in text for character in "*?[")


def _expand_pattern(pattern: str, recursive: bool) -> list[str]:
    parsed = PurePath(pattern)
    parts = parsed.parts[1:] if parsed.anchor else parsed.parts
    suffix = os.path.splitext(pattern)[1]
    suffix_is_spelt = bool(suffix) and not _has_magic(suffix)
    images: list[str] = []
    for path in _match(parsed.anchor, parts):
        if os.path.isdir(path):
            images += _search_folder(path, recursive)
        elif suffix_is_spelt or _is_image_name(path):
            images.append(path)
    if not images:
        looked_for = "" if suffix_is_spelt else f" Looked for {_LOOKED_FOR}."
        raise InputError(f"'{pattern}': no such file, and as a pattern it matches no images.{looked_for}")
    return sorted(images, key=lambda path: [natural_key(part) for part in PurePath(path).parts])


def _match(folder: str, parts: Sequence[str]) -> Iterator[str]:
    """Yield what matches a pattern's components below a folder."""
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        for below, kind in _walk(folder):
            if kind is not _Kind.FILE:
                yield from _match(below, rest or ("*",))
        return
    literal = os.path.join(folder, first)
    if not _has_magic(first) or os.path.lexists(literal):
        if os.path.lexists(literal):
            yield from _match(literal, rest)
        return
    try:
        names = os.listdir(folder or os.curdir) if first.startswith(".") else _visible_names(folder)
    except NotADirectoryError:
        return
    except OSError:  # searching this folder reports it
        yield folder
        return
    for name in fnmatch.filter(names, first):
        path = os.path.join(folder, name)
        if not rest or os.path.isdir(path):
            yield from _match(path, rest)
