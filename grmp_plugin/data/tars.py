"""Tar archives of images, as WebDataset writes them: the key of a sample is the name of its image."""

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from grmp_plugin.data.kinds import is_read, unread_kind
from grmp_plugin.data.places import Place
from grmp_plugin.data.shard_names import NO_IMAGES, ShardNames
from grmp_plugin.data.sources import EncodedImage, ImageSource, UnreadableImage
from grmp_plugin.data.unreadable import unread_reason

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LARGEST = 2 << 30  # bytes of an image file: more than the most pixels that are decoded need
_TOO_LARGE = f"larger than {_LARGEST >> 30} GiB, so no image that can be decoded"
_NO_TAR = "not a tar archive, or a damaged one"
_TRUNCATED = "truncated: the archive ends before this member does"


def is_tar(name: str) -> bool:
    """Whether a file is an archive, by its name."""
    return name.lower().endswith(_SUFFIXES)


@dataclass(frozen=True, slots=True)
class TarUnit:
    """A tar archive of images; members of other kinds are passed over."""

    name: str
    place: Place

    is_shard = True

    def version(self, check: str) -> str:
        """See `Unit`."""
        return self.place.version(check)

    def images(self, done: Callable[[str], bool]) -> Iterator[ImageSource]:
        """See `Unit`."""
        try:
            with self.place.open() as file, tarfile.open(fileobj=file) as archive:
                names = ShardNames()
                yield from _members(archive, names, done)
            if not names:
                yield UnreadableImage(self.name, NO_IMAGES)
        # Damage may raise anything, also from the library of a compression or of a file system.
        except Exception as error:
            yield UnreadableImage(self.name, _damage(error))


def _members(
    archive: tarfile.TarFile, names: ShardNames, done: Callable[[str], bool]
) -> Iterator[ImageSource]:
    while (member := archive.next()) is not None:
        # tarfile keeps all members; an archive of a million would fill the memory.
        archive.members.clear()  # type: ignore[attr-defined]
        if not member.isfile() or not (is_read(member.name) or unread_kind(member.name)):
            continue
        name = names.unique(_key(member.name), member.name)
        if done(name):
            continue
        if member.size > _LARGEST:
            yield UnreadableImage(name, _TOO_LARGE)
            continue
        opened = archive.extractfile(member)
        content = b"" if opened is None else opened.read()
        if len(content) < member.size:
            yield UnreadableImage(name, _TRUNCATED)
            raise tarfile.ReadError("unexpected end of data")
        yield EncodedImage(name, member.name, content)


def _key(member: str) -> str:
    """The key of a sample: the path up to the first dot of the file's name."""
    folder, name = os.path.split(member)
    return os.path.join(folder, name.split(".")[0])


def _damage(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, tarfile.ReadError | EOFError):
        words = str(error).lower()
        if "end of data" in words or "end-of-stream" in words or "end of file" in words or not words:
            return "truncated: the archive ends too early; the images before were scored"
        return _NO_TAR
    if isinstance(error, ValueError):  # numbers in headers that are none
        return _NO_TAR
    return unread_reason(error)
