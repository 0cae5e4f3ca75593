"""Turn files, folders, patterns and `-` into a list of image files.

`glob` and `pathlib` are not used for the search: their `**` follows links in circles or not at all, they skip
what cannot be read without a word, and they do not prefer a folder that is really called `photos [2020]`.
"""

import fnmatch
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TextIO

from grmp_plugin.data.kinds import is_read, read_suffixes, unread_kind
from grmp_plugin.data.left_out import QUALITY_MAP, left_out_words
from grmp_plugin.data.map_mark import is_quality_map
from grmp_plugin.data.walk import Entry, natural_key, visible_names, walk
from grmp_plugin.errors import InputError
from grmp_plugin.suggest import did_you_mean

STDIN = "-"
"""The argument that means paths on standard input; a file of that name is `./-`."""

_MOST_BYTES = 256 << 20  # of paths on standard input: some million
_NAMED = 3  # most arguments that an error names


@dataclass(frozen=True)
class FoundPaths:
    """What a search found.

    Attributes:
        paths: Image files, as the user would write them.
        left_out: Number of files that were left out, by kind, such as `{"HEIC": 3, "quality map": 2}`.
    """

    paths: list[str]
    left_out: Mapping[str, int]


def expand_paths(
    arguments: Sequence[str], *, recursive: bool = True, stdin: TextIO | None = None
) -> list[str]:
    """List the image files that the arguments name; see `find_paths`, which also counts what is left out."""
    return find_paths(arguments, recursive=recursive, stdin=stdin).paths


def find_paths(
    arguments: Sequence[str], *, recursive: bool = True, stdin: TextIO | None = None
) -> FoundPaths:
    """List the image files that the arguments name, in their order.

    An argument is, tried in this order: `-` for standard input (one path per line, or separated by NUL as
    `find -print0` prints them; no patterns); an existing file, kept whatever its suffix; an existing folder,
    searched for image suffixes; a pattern with `*`, `?`, `[...]` or `**`; anything else is kept as a missing
    file. Files found in folders and by patterns come in natural order (`img2` before `img10`), without hidden
    ones. A pattern keeps image suffixes only, unless it spells the suffix itself (`*.dat`); folders that it
    matches are searched.

    Nothing that was named is lost: missing files, dangling links and folders that cannot be read are listed
    like images, for `read_image` to report. Two kinds of files are left out and counted: photographs of a
    kind that is not read here, where a folder or a pattern without a suffix found them, and quality maps that
    `Scores.draw_maps` saved, however they were named.

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
        InputError: No arguments, a folder without images, a pattern without matches, `-` with nothing to
            read, or nothing but what is left out.
    """
    if not arguments:
        raise InputError(
            "No images given. Name files, folders or patterns, or - for paths on standard input."
        )
    found: dict[tuple[str, str], str] = {}
    left_out: dict[tuple[str, str], str] = {}
    real_folders: dict[str, str] = {}
    for argument in dict.fromkeys(arguments):
        for path, kind in _expand(argument, recursive, stdin):
            if kind is None:
                found.setdefault(_identity(path, real_folders), path)
            else:
                left_out[_identity(path, real_folders)] = kind
    counts = Counter(kind for file, kind in left_out.items() if file not in found)
    if not found:
        named = ", ".join(f"'{argument}'" for argument in arguments[:_NAMED])
        raise InputError(f"{named}: no images that can be scored: {'; '.join(left_out_words(counts))}.")
    return FoundPaths(list(found.values()), counts)


# A path, and the kind for which it is left out; None where it is an image.
_Found = tuple[str, str | None]


def stream_paths(argument: str, *, recursive: bool = True) -> Iterator[_Found]:
    """Yield what `find_paths` finds for one argument, file by file: for more files than a list should hold.

    Args:
        argument: A path or a pattern.
        recursive: Search the folders inside folders as well.

    Yields:
        A path, and None or the kind for which it is left out. A file may come twice.

    Raises:
        InputError: For a folder without images, or a pattern without matches.
    """
    return _expand(argument, recursive, None)


class FileIdentity:
    """Tells whether two paths are the same file; see `find_paths`. Remembers the folders that it has seen."""

    def __init__(self) -> None:
        self._real_folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """The real folder of a file and its name there; an address stays as it is."""
        return path if "://" in path else os.path.join(*_identity(path, self._real_folders))


def _expand(argument: str, recursive: bool, stdin: TextIO | None) -> Iterator[_Found]:
    if argument == STDIN:
        for path in read_paths(stdin or sys.stdin):
            yield from _expand_path(path, recursive)
    elif _has_magic(argument) and not os.path.lexists(argument):
        yield from _expand_pattern(argument, recursive)
    else:
        # A missing file is a row of the result; without a suffix a folder was meant.
        if argument and not os.path.lexists(argument) and not PurePath(argument).suffix:
            raise InputError(f"'{argument}': no such file or folder.{_siblings(argument)}")
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


def read_paths(stream: TextIO | None) -> list[str]:
    """Paths that a stream lists: one per line, or separated by NUL; InputError where there are none."""
    if stream is None:  # a program without a console
        raise InputError("-: there is no standard input to read paths from.")
    # File names are bytes: decoded as the system decodes them, names that are not UTF-8 survive.
    raw = getattr(stream, "buffer", None)
    text = os.fsdecode(raw.read(_MOST_BYTES + 1)) if raw is not None else stream.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise InputError(
            f"-: more than {_MOST_BYTES >> 20} MiB on standard input. Name the folders of so many images, or "
            "lists (.txt)"
        )
    if "\0" in text:
        paths = [path for path in text.split("\0") if path]
    else:
        # Not splitlines(), which also splits at characters that may occur in a name.
        lines = (line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n"))
        paths = [line for line in lines if line.strip()]
    if not paths:
        raise InputError("-: standard input is empty; write one path per line.")
    return paths


def _expand_path(path: str, recursive: bool) -> Iterator[_Found]:
    if not path:
        raise InputError("An empty path was given. Name a file, a folder or a pattern.")
    if not os.path.isdir(path):
        yield path, _map_kind(path)
        return
    found = _search_folder(path, recursive)
    first = next(found, None)
    if first is None:
        where = "" if recursive else "; folders inside it are not searched"
        looked_for = ", ".join(read_suffixes())
        raise InputError(f"'{path}': no images in this folder. Looked for {looked_for}{where}.")
    yield first
    yield from found


def _siblings(path: str) -> str:
    """A suggestion from what lies beside a path, after a space."""
    folder, name = os.path.split(path.rstrip(os.sep))
    try:
        known = os.listdir(folder or ".")
    except OSError:
        return ""
    found = did_you_mean(name, known)
    return f" {found}" if found else ""


def _search_folder(folder: str, recursive: bool) -> Iterator[_Found]:
    """Yield the images in a folder, what is left out, and the folders that cannot be read."""
    for path, kind in walk(folder, recursive):
        if kind is Entry.LOCKED:
            yield path, None
        elif kind is Entry.FILE:
            yield from _searched(path)


def _searched(path: str) -> Iterator[_Found]:
    """A file that a search came upon: an image, one that is left out, or nothing."""
    unread = unread_kind(path)
    if unread is not None:
        yield path, unread
    elif is_read(path):
        yield path, _map_kind(path)


def _map_kind(path: str) -> str | None:
    return QUALITY_MAP if is_quality_map(path) else None


def _has_magic(text: str) -> bool:
    return any(character in text for character in "*?[")


def _expand_pattern(pattern: str, recursive: bool) -> list[_Found]:
    parsed = PurePath(pattern)
    parts = parsed.parts[1:] if parsed.anchor else parsed.parts
    suffix = os.path.splitext(pattern)[1]
    suffix_is_spelt = bool(suffix) and not _has_magic(suffix)
    found: list[_Found] = []
    for path in _match(parsed.anchor, parts):
        if os.path.isdir(path):
            found += _search_folder(path, recursive)
        elif suffix_is_spelt:
            found.append((path, _map_kind(path)))
        else:
            found += _searched(path)
    if not found:
        looked_for = "" if suffix_is_spelt else f" Looked for {', '.join(read_suffixes())}."
        raise InputError(f"'{pattern}': no such file, and as a pattern it matches no images.{looked_for}")
    return sorted(found, key=lambda one: [natural_key(part) for part in PurePath(one[0]).parts])


def _match(folder: str, parts: Sequence[str]) -> Iterator[str]:
    """Yield what matches a pattern's components below a folder."""
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        for below, kind in walk(folder):
            if kind is not Entry.FILE:
                yield from _match(below, rest or ("*",))
        return
    literal = os.path.join(folder, first)
    if not _has_magic(first) or os.path.lexists(literal):
        if os.path.lexists(literal):
            yield from _match(literal, rest)
        return
    try:
        names = os.listdir(folder or os.curdir) if first.startswith(".") else visible_names(folder)
    except NotADirectoryError:
        return
    except OSError:  # searching this folder reports it
        yield folder
        return
    for name in fnmatch.filter(names, first):
        path = os.path.join(folder, name)
        if not rest or os.path.isdir(path):
            yield from _match(path, rest)
