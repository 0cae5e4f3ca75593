"""What is left to do of a job, and the rows that come of it on this machine."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from grmp_plugin.data.paths import FileIdentity
from grmp_plugin.data.sources import ImageSource
from grmp_plugin.data.units import Unit, Units
from grmp_plugin.evaluation.scoring import ImageScore, Scorer
from grmp_plugin.jobs.done import Done, belongs, key
from grmp_plugin.jobs.parts import Parts, Shard
from grmp_plugin.jobs.rows import Finished, JobRow, plain_text


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
        parts: What was written before, in order. Rows of files that have changed since are removed.
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
        changed: set[bytes] = set()
        self.files = 0
        """Number of image files of this shard; images in archives and tables are known when they are read."""
        for unit in self._own():
            self.files += not unit.is_shard
            # Without rows nothing can have changed, and the files need not be looked at twice.
            if self.done.rows and self.done.is_changed(plain_text(unit.name), unit.version(check)):
                changed.add(key(plain_text(unit.name)))
        self.changed = len(changed)
        """Number of files and shards of images whose rows were removed, since they have changed."""
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
            if not unit.is_shard:
                yield from (Pending(image, None, version) for image in unit.images(_nothing))
                continue
            source = plain_text(unit.name)
            for image in unit.images(partial(self._has_member, source)):
                yield Pending(image, source, version)
            yield Finished(source, version)

    def _has_member(self, source: str, name: str) -> bool:
        return self.done.has_member(source, plain_text(name))

    def _own(self) -> Iterator[Unit]:
        """The units of this shard, each once: by whatever path it is reached."""
        # Digests instead of names: this set is all that grows with the number of files.
        seen: set[bytes] = set()
        identity = FileIdentity()
        for unit in self._units:
            if belongs(unit, self._shard):
                file = key(identity(unit.place.name))
                if file not in seen:
                    seen.add(file)
                    yield unit


def score_here(
    pending: Iterable[Pending | Finished], scorer: Scorer, on_scale: Callable[[ImageScore], ImageScore]
) -> Generator[JobRow | Finished, None, None]:
    """Score images in this process, in the order given; see `Scorer.score`.

    Args:
        pending: Images, and which shards of images are finished.
        scorer: The network.
        on_scale: Puts a score on the scale that is wanted.

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
            yield job_row(on_scale(result), item)
    for item in waiting:
        if isinstance(item, Finished):
            yield item


def job_row(result: ImageScore, item: Pending) -> JobRow:
    """The row of an image's score."""
    error = None if result.error is None else plain_text(result.error)
    return JobRow(plain_text(result.image), result.score, error, item.source, item.version)


def _is_of(units: set[bytes], entry: JobRow | Finished) -> bool:
    name = entry.source if isinstance(entry, Finished) else entry.source or entry.image
    return key(name) in units


def _nothing(name: str) -> bool:
    return False
