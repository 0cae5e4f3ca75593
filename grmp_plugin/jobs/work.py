"""What is left to do of a job, and the rows that come of it on this machine."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from grmp_plugin.data.paths import FileIdentity
from grmp_plugin.data.ratings import MosScale
from grmp_plugin.data.sources import ImageSource
from grmp_plugin.data.units import Unit, Units
from grmp_plugin.data.unreadable import may_pass
from grmp_plugin.evaluation.scoring import ImageScore, Scorer
from grmp_plugin.jobs.done import Done, belongs, key
from grmp_plugin.jobs.parts import Parts
from grmp_plugin.jobs.rows import UNREAD, Finished, JobRow
from grmp_plugin.shard import Shard
from grmp_plugin.tables import plain_text


@dataclass(frozen=True, slots=True)
class Pending:
    """An image to score.

    Attributes:
        image: The image.
        source: The shard that holds it; None for a file of its own.
        version: What the file or the shard is.
    """

    image: ImageSource
    source: str | None
    version: str


class Work:
    """One shard of a job: which images are done, and which are to be scored.

    Args:
        units: All units of the job.
        parts: What was written before, in order. Rows of files that have changed since are removed, and all
            but the first of an image, as a part that was copied has them.
        shard: Which share of the units.
        check: One of `CHECKS`.

    Raises:
        InputError: When there are no units, or a list cannot be read.
    """

    def __init__(self, units: Units, parts: Parts, shard: Shard, check: str) -> None:
        self._units = units
        self._shard = shard
        self._check = check
        self.done = Done(parts.entries())
        if self.done.repeated:
            seen = Done(())
            parts.drop(seen.add)
            self.done = Done(parts.entries())
        changed: set[bytes] = set()
        self.files = 0
        """Number of image files of this shard; images in archives and tables are known when they are read."""
        for unit in self._own():
            self.files += not unit.is_shard
            # Without rows nothing can have changed, and the files need not be looked at twice.
            if self.done.rows and self.done.is_changed(plain_text(unit.name), unit.version(check)):
                changed.add(key(plain_text(unit.name)))
        self.changed = len(changed)
        """Number of files and shards of images whose rows were removed: changed, or unread for a reason that
        may have passed."""
        if changed:
            parts.drop(partial(_is_of, changed))
            self.done = Done(parts.entries())

    def units(self) -> Iterator[tuple[Unit, str]]:
        """Yield the units that are not done, with their versions."""
        for unit in self._own():
            if not self.done.has_unit(plain_text(unit.name), is_shard=unit.is_shard):
                yield unit, unit.version(self._check)

    def pending(self) -> Iterator[Pending | Finished]:
        """Yield the images that are not done; after those of a shard of images, that it is finished."""
        for unit, version in self.units():
            yield from unit_work(unit, version, self.done)

    def has_member_row(self, row: JobRow) -> bool:
        """Whether an image of a shard had its row before this run."""
        return row.source is not None and self.done.has_member(row.source, row.image)

    def _own(self) -> Iterator[Unit]:
        return own_units(self._units, self._shard)


def own_units(units: Units, shard: Shard) -> Iterator[Unit]:
    """The units of a shard of a job, each once: by whatever path it is reached."""
    own = (unit for unit in units if belongs(unit, shard))
    return own if units.distinct else _each_once(own)


def _each_once(units: Iterable[Unit]) -> Iterator[Unit]:
    # Digests instead of names: this set is all that grows with the number of files.
    seen: set[bytes] = set()
    identity = FileIdentity()
    for unit in units:
        file = key(identity(unit.place.name))
        if file not in seen:
            seen.add(file)
            yield unit


def files_without_row(units: Units, images: Iterable[str]) -> list[str]:
    """Names of the image files of a whole job that are not among those that have a row."""
    known = {key(image) for image in images}
    files = (unit.name for unit in own_units(units, Shard()) if not unit.is_shard)
    return [name for name in files if key(plain_text(name)) not in known]


def unit_work(unit: Unit, version: str, done: Done | None = None) -> Iterator[Pending | Finished]:
    """Yield the images of a unit; after those of a shard of images, that it is finished.

    Args:
        unit: A file or a shard of images.
        version: What it is.
        done: Leave out the images of a shard that are done.
    """
    source = plain_text(unit.name) if unit.is_shard else None

    def is_done(name: str) -> bool:
        return done is not None and source is not None and done.has_member(source, plain_text(name))

    for image in unit.images(is_done):
        yield Pending(image, source, version)
    if source is not None:
        yield Finished(source, version)


def score_here(
    pending: Iterable[Pending | Finished], scorer: Scorer, scale: MosScale | None
) -> Generator[JobRow | Finished, None, None]:
    """Score images in this process, in the order given; see `Scorer.score`.

    Args:
        pending: Images, and which shards of images are finished.
        scorer: The network.
        scale: Of predicted MOS; None for quality from 0 to 1.

    Yields:
        A row for each image, and each `Finished` after the rows of its images.
    """
    waiting: deque[Pending | Finished] = deque()

    def images() -> Iterator[ImageSource]:
        for item in pending:
            waiting.append(item)
            if isinstance(item, Pending):
                yield item.image

    with closing(scorer.score(images())) as results:
        for result in results:
            while isinstance(item := waiting.popleft(), Finished):
                yield item
            yield _row(result, scale, item)
    for item in waiting:
        if isinstance(item, Finished):
            yield item


def _row(result: ImageScore, scale: MosScale | None, item: Pending) -> JobRow:
    error = None if result.error is None else plain_text(result.error)
    score = result.score if result.score is None or scale is None else float(scale.to_mos(result.score))
    version = UNREAD if error is not None and may_pass(error) else item.version
    return JobRow(plain_text(result.image), score, error, item.source, version)


def _is_of(units: set[bytes], entry: JobRow | Finished) -> bool:
    name = entry.source if isinstance(entry, Finished) else entry.source or entry.image
    return key(name) in units
