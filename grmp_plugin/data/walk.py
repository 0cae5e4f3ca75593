"""Walk through folders: in natural order, through links, each real folder once, nothing lost."""

import os
import re
from collections.abc import Iterator
from enum import Enum, auto


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
    stack = [top]
    while stack:
        path = stack.pop()
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
        stack += [os.path.join(path, name) for name in reversed(names)]


def visible_names(folder: str) -> list[str]:
    """Return the names in a folder in natural order, without hidden ones; OSError if unreadable."""
    names = (name for name in os.listdir(folder or os.curdir) if not name.startswith("."))
    return sorted(names, key=natural_key)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts `img2` before `img10` and ignores the case of letters."""
    # Splitting at a group alternates text and digits, so equal positions hold equal types.
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name
