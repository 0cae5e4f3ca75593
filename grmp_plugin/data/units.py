"""What a job of scoring works through: files, and shards that hold many images, one after the other.

Nothing is listed as a whole: units are found, and images read from shards, when their turn comes.
"""

import os
import posixpath
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from grmp_plugin.data.image_tables import TABLE_SUFFIX, TableColumn, TableUnit, column_of
from grmp_plugin.data.lists import is_list, listed_names
from grmp_plugin.data.paths import STDIN, read_paths, stream_paths
from grmp_plugin.data.places import Place, expand_address, is_address, place
from grmp_plugin.data.sources import ImageSource, UnreadableImage
from grmp_plugin.data.tars import TarUnit, is_tar
from grmp_plugin.errors import ImageError, InputError


def needs_units(name: str) -> bool:
    """Whether a name is that of a list, of a shard or an address: what only `Units` reads."""
    return is_address(name) or is_list(name) or is_tar(name) or name.lower().endswith(TABLE_SUFFIX)


class Unit(Protocol):
    """A file that is listed: an image, or a shard of many."""

    @property
    def name(self) -> str:
        """Path or address, as the user would write it."""

    @property
    def place(self) -> Place:
        """Where it is."""

    @property
    def is_shard(self) -> bool:
        """Whether it holds many images."""

    def version(self, check: str) -> str:
        """What changes with the content; see `Place`."""

    def images(self, done: Callable[[str], bool]) -> Iterator[ImageSource]:
        """Yield its images.

        A shard that is damaged yields what it holds, and then an `UnreadableImage` of its own name.

        Args:
            done: Tells which images of a shard to leave out, by name.
        """


@dataclass(frozen=True, slots=True)
class FileUnit:
    """One image file, or a file that should have been one."""

    name: str
    place: Place
    error: str | None = None

    is_shard = False

    def version(self, check: str) -> str:
        """See `Unit`."""
        return self.place.version(check)

    def images(self, done: Callable[[str], bool]) -> Iterator[ImageSource]:
        """See `Unit`."""
        yield UnreadableImage(self.name, self.error) if self.error else self.place.image(self.name)


class Units:
    """The units that arguments name; can be gone through several times.

    Args:
        arguments: Paths, folders, patterns and addresses of images, of tar archives, of Parquet files with
            images, and of lists: text files with one path a line, CSV and Parquet files with a column of
            paths. Paths in a list are relative to it. `-` is a list on standard input, which is read here.
        image_column: Column of the images in CSV and Parquet files; None: found by the usual names.
        recursive: Search folders inside folders as well.

    Raises:
        InputError: When `-` is given and standard input is empty.
    """

    def __init__(
        self, arguments: Sequence[str], *, image_column: str | None = None, recursive: bool = True
    ) -> None:
        self._arguments = tuple(dict.fromkeys(arguments))
        self._column = image_column
        self._recursive = recursive
        self._listed = tuple(read_paths(sys.stdin)) if STDIN in self._arguments else ()
        self.left_out: Counter[str] = Counter()
        """Number of files that the last search left out, by kind."""

    @property
    def distinct(self) -> bool:
        """Whether no file can come twice: in one folder each is found once, whatever links lead to it."""
        return len(self._arguments) == 1 and os.path.isdir(self._arguments[0])

    def __iter__(self) -> Iterator[Unit]:
        """Find the units; a file may come twice unless they are `distinct`.

        Raises:
            InputError: For an argument that names nothing, or a list that cannot be read.
        """
        self.left_out.clear()
        for argument in self._arguments:
            if is_address(argument):
                for found in expand_address(argument, recursive=self._recursive):
                    yield from self._units(found)
            elif argument == STDIN:
                for name in self._listed:
                    yield from self._expand(name)
            else:
                yield from self._expand(argument)

    def _expand(self, argument: str) -> Iterator[Unit]:
        for path, kind in stream_paths(argument, recursive=self._recursive):
            if kind is None:
                yield from self._units(place(path))
            else:
                self.left_out[kind] += 1

    def _units(self, found: Place) -> Iterator[Unit]:
        """A file as an image, as a shard, or what it lists."""
        if is_list(found.name):
            yield from self._listing(found, self._column)
            return
        unit = self._unit(found.name, found)
        if isinstance(unit, TableColumn):
            yield from self._listing(found, unit.name)
        else:
            yield unit

    def _listing(self, found: Place, column: str | None) -> Iterator[Unit]:
        for name in listed_names(found, column):
            try:
                unit = self._unit(name, place(_beside(found, name)))
            except InputError as error:
                raise InputError(f"{found.name}: {error.message}", see=error.see) from error
            if isinstance(unit, TableColumn):
                raise InputError(f"{found.name} lists {name}, which is a list itself: name that one")
            yield unit

    def _unit(self, name: str, found: Place) -> Unit | TableColumn:
        """A file as an image or as a shard; its column of paths where it is a table of these."""
        if is_tar(name):
            return TarUnit(name, found)
        if not name.lower().endswith(TABLE_SUFFIX):
            return FileUnit(name, found)
        try:
            column = column_of(found, self._column)
        except ImageError as error:
            return FileUnit(name, found, str(error))
        return TableUnit(name, found, column) if column.holds_images else column


def _beside(listing: Place, name: str) -> str:
    """The path or address of a name in a list: relative to the list."""
    if is_address(name):
        return name
    if is_address(listing.name):
        return posixpath.join(posixpath.dirname(listing.name), name)
    return os.path.join(os.path.dirname(listing.name), name)
