"""Walk through folders: in natural order, through links, each real folder once, nothing lost."""

import os
import re
from collections.abc import Iterator
from enum import Enum, auto
from functools import partial

_NUMBER = re.compile("[0-9]+")


class Entry(Enum):
    """What a walk comes upon."""

    FILE = auto()
    FOLDER = auto()
    LOCKED = auto()  # a folder that cannot be read


def walk(top: str, recursive: bool = True) -> Iterator[tuple[str, Entry]]:
    """Yield a folder and everything visible below it in natural order, each real folder once.

    An explicit stack instead of `os.walk`: folders can be nested deeper than Python recurses, links lead in
    circles, and files and folders are listed in one common order.
    """
    visited: set[str] = set()
    # Iterators instead of lists: a folder may hold millions of files.
    stack: list[Iterator[str]] = [iter((top,))]
    while stack:
        path = next(stack[-1], None)
        if path is None:
            stack.pop()
            continue
        if path != top and not os.path.isdir(path):
            yield path, Entry.FILE
            continue
        real = os.path.realpath(path)
        if real in visited or (path != top and not recursive):
            continue
        visited.add(real)
        try:
            names = visible_names(path)
        except OSError:
            yield path, Entry.LOCKED
            continue
        yield path, Entry.FOLDER
        stack.append(map(partial(os.path.join, path), names))


def visible_names(folder: str) -> list[str]:
    """Return the names in a folder in natural order, without hidden ones; OSError if unreadable."""
    names = (name for name in os.listdir(folder or os.curdir) if not name.startswith("."))
    return sorted(names, key=natural_key)


def natural_key(name: str) -> tuple[str, str]:
    """Sort key that puts `img2` before `img10` and ignores the case of letters."""
    # One text instead of a list of parts, which would take several times the memory of the names: a number is
    # its length, then its digits, behind a character that comes before all others.
    return _NUMBER.sub(_sortable, name.casefold()), name


def _sortable(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"\0{len(digits):05d}{digits}"
