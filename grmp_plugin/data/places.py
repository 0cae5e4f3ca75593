"""Where images, lists and shards of images are: files on this machine, or addresses that fsspec opens."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np

from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT, read_encoded
from grmp_plugin.data.kinds import is_read
from grmp_plugin.data.pixel_room import Reserve, no_limit
from grmp_plugin.data.sources import FileImage, ImageSource, ListedImage
from grmp_plugin.data.unreadable import check_regular_file, unread_reason
from grmp_plugin.data.walk import natural_key
from grmp_plugin.errors import ImageError, InputError

CHECKS = ("time", "digest")
"""How a file is known to be unchanged: by size and time, or by the SHA-256 of its content."""

# What file systems tell of a file, of which each knows a part; all of it changes only with the content.
_VERSION_KEYS = (
    "size", "mtime", "ETag", "etag", "md5Hash", "CRC", "LastModified", "last_modified", "updated",
    "date_time", "blob_id",
)  # fmt: skip


class Place(Protocol):
    """A file that can be opened here."""

    @property
    def name(self) -> str:
        """Path or address, as the user would write it."""

    def open(self) -> BinaryIO:
        """Open the file for reading; OSError, ImageError or an error of the file system's library."""

    def version(self, check: str) -> str:
        """What changes with the content, by one of `CHECKS`; empty where it cannot be known."""

    def image(self, name: str) -> ImageSource:
        """The file as an image called `name`."""


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A file on this machine."""

    name: str

    def open(self) -> BinaryIO:
        """See `Place`; ImageError for what is no file: a pipe would never answer, a device never end."""
        check_regular_file(self.name)
        return open(self.name, "rb")

    def version(self, check: str) -> str:
        """See `Place`; empty for a file that is missing."""
        try:
            if check == "digest":
                return _digest(self)
            found = os.stat(self.name)
        except (OSError, ValueError, ImageError):
            return ""
        return f"{found.st_size}-{found.st_mtime_ns}"

    def image(self, name: str) -> ImageSource:
        """See `Place`."""
        return FileImage(name) if name == self.name else ListedImage(name, self.name)


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """A file in a file system of fsspec.

    Attributes:
        name: Its address.
        system: fsspec's file system.
        path: Path in that file system.
        info: What a listing told of it; None where it was not listed.
    """

    name: str
    system: Any
    path: str
    info: Mapping[str, Any] | None = None

    def open(self) -> BinaryIO:
        """See `Place`."""
        opened: BinaryIO = self.system.open(self.path, "rb")
        return opened

    def version(self, check: str) -> str:
        """See `Place`; empty for web addresses, which would have to be asked one by one."""
        try:
            if check == "digest":
                return _digest(self)
            if _is_web(self.name):
                return ""
            info = self.info or self.system.info(self.path)
        except Exception:  # each file system has errors of its own; reading the file reports them
            return ""
        return "-".join(str(info[key]) for key in _VERSION_KEYS if info.get(key) is not None)

    def image(self, name: str) -> ImageSource:
        """See `Place`."""
        return RemoteImage(name, self)


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image file in a file system of fsspec."""

    name: str
    place: RemotePlace

    def read(self, pixel_limit: int = DEFAULT_PIXEL_LIMIT, reserve: Reserve = no_limit) -> np.ndarray:
        """See `ImageSource`."""
        try:
            content: bytes = self.place.system.cat_file(self.place.path)
        except FileNotFoundError as error:
            raise ImageError("no such file") from error
        except Exception as error:  # each file system has errors of its own
            raise ImageError(unread_reason(error)) from error
        return read_encoded(content, self.place.path, pixel_limit=pixel_limit, reserve=reserve)


def is_address(name: str) -> bool:
    """Whether a name is an address (`s3://...`, `zip://a.jpg::file.zip`) and not a path."""
    return "://" in name and not os.path.lexists(name)


def place(name: str) -> Place:
    """The file of a path or an address.

    Raises:
        InputError: For an address of a kind that is not known here.
    """
    if not is_address(name):
        return LocalPlace(name)
    system, path = _file_system(name)
    return RemotePlace(name, system, path)


def expand_address(address: str, *, recursive: bool = True) -> Iterator[Place]:
    """Yield the files that an address names: itself, images in a folder, or what matches a pattern.

    Raises:
        InputError: When there are none, or the file system cannot be reached.
    """
    system, path = _file_system(address)
    if _is_web(address):  # where `?` is no pattern, and nothing can be listed
        yield RemotePlace(address, system, path)
        return
    try:
        listing = _listing(system, path, recursive)
    except ImportError as error:
        raise InputError(f"{address}: {error}") from error
    except Exception as error:  # each file system has errors of its own
        raise InputError(f"{address}: {unread_reason(error)}") from error
    if listing is None:
        yield RemotePlace(address, system, path)
        return
    if not listing:
        raise InputError(f"{address}: no images at this address")
    # The end of a chain, such as the archive that a zip:// is in.
    chain = address.partition("::")[2]
    for found in sorted(listing, key=natural_key):
        name = system.unstrip_protocol(found) + (f"::{chain}" if chain else "")
        yield RemotePlace(name, system, found, listing[found])


def _listing(system: Any, path: str, recursive: bool) -> dict[str, Any] | None:
    """Files of a folder or a pattern, with what is known of each; None for a file."""
    if any(character in path for character in "*["):
        found: dict[str, Any] = system.glob(path, detail=True)
        return {name: info for name, info in found.items() if info["type"] == "file"}
    if not system.isdir(path):
        return None
    files = system.find(path, maxdepth=None if recursive else 1, detail=True)
    return {name: info for name, info in files.items() if is_read(name)}


def _file_system(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address)
    except (ImportError, ValueError) as error:  # a package to install; an unknown kind
        raise InputError(f"{address}: {error}") from error
    except Exception as error:  # each file system has errors of its own
        raise InputError(f"{address}: {unread_reason(error)}") from error
    return system, path


def _is_web(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _digest(place: Place) -> str:
    digest = hashlib.sha256()
    with place.open() as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"
