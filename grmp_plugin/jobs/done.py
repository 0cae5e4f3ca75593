"""What of a job is done, by digests: how much a job remembers of each image does not depend on its name."""

import hashlib
from collections.abc import Iterable

from grmp_plugin.data.units import Unit
from grmp_plugin.jobs.rows import UNREAD, Finished, JobRow
from grmp_plugin.shard import Shard
from grmp_plugin.tables import plain_text


def key(*texts: str) -> bytes:
    """Sixteen bytes that stand for texts; the chance that two of a billion are the same is 10^-21."""
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Done:
    """Files, shards of images and members of these that have their rows.

    Args:
        entries: From the parts of this shard of the job.
    """

    def __init__(self, entries: Iterable[JobRow | Finished]) -> None:
        self._units: dict[bytes, bytes] = {}  # file or shard of images -> version
        self._members: set[bytes] = set()
        self._finished: set[bytes] = set()
        self.rows = self.failed = self.repeated = 0
        for entry in entries:
            self.repeated += self.add(entry)

    def add(self, entry: JobRow | Finished) -> bool:
        """Remember an entry of a part; return whether it is the second row of an image."""
        version = key(entry.version)
        if isinstance(entry, Finished):
            self._finished.add(key(entry.source))
            self._units.setdefault(key(entry.source), version)
            return False
        self.count(entry)
        unit = key(entry.source or entry.image)
        known = (
            unit in self._units if entry.source is None else key(entry.source, entry.image) in self._members
        )
        # One image of a shard that may be read now is enough to read the shard again.
        if self._units.get(unit) != key(UNREAD):
            self._units[unit] = version
        if entry.source is not None:
            self._members.add(key(entry.source, entry.image))
        return known

    def count(self, entry: JobRow | Finished) -> None:
        """Count an entry without remembering it: for one that cannot come again in this run."""
        if isinstance(entry, JobRow):
            self.rows += 1
            self.failed += entry.error is not None

    def has_unit(self, name: str, *, is_shard: bool) -> bool:
        """Whether a file has its row, or a shard of images all of them; name as `plain_text` gives it."""
        known = key(name)
        return known in (self._finished if is_shard else self._units)

    def has_member(self, source: str, name: str) -> bool:
        """Whether an image of a shard has its row; names as `plain_text` gives them."""
        return key(source, name) in self._members

    def is_changed(self, name: str, version: str) -> bool:
        """Whether a file or a shard of images has rows of another version."""
        return self._units.get(key(name), key(version)) != key(version)


def belongs(unit: Unit, shard: Shard) -> bool:
    """Whether a unit is of a shard of the job: by its name alone, so that files may come and go."""
    digest = hashlib.blake2b(plain_text(unit.name).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shard.count == shard.number
