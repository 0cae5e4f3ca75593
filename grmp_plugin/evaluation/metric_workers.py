"""Processes that score images with pyiqa's metrics, many of which use one core however many there are."""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import torch

from grmp_plugin.data.images import pixels_digest, read_in_room
from grmp_plugin.data.pixel_room import MOST_PIXELS, PixelRoom, share_room
from grmp_plugin.data.unreadable import NO_MEMORY
from grmp_plugin.errors import ImageError, MetricError
from grmp_plugin.evaluation.metric_names import MetricSpec
from grmp_plugin.evaluation.metrics import Metrics, ScoreImage, failing_quietly
from grmp_plugin.evaluation.score_cache import KeptScore


class Pair(NamedTuple):
    """An image to score: its number in the comparison, its path, and that of its reference."""

    number: int
    image: str
    reference: str | None


class Scored(NamedTuple):
    """What came of one image.

    Attributes:
        number: Of the image.
        score: None where one of the errors says why.
        unreadable: Why the image or its reference cannot be read.
        failed: Why the metric failed on it.
        unusable: Why the metric cannot be created at all.
        pixels: Digest of the image's pixels, where it was read.
    """

    number: int
    score: KeptScore | None = None
    unreadable: str | None = None
    failed: str | None = None
    unusable: str | None = None
    pixels: str | None = None


class MetricWorkers:
    """A pool of processes, each with one metric on the CPU and one thread.

    Args:
        pool: Made with `metric_workers`.
        jobs: Its size.
        room: What the processes share when they decode images.
    """

    def __init__(self, pool: ProcessPoolExecutor, jobs: int, room: PixelRoom) -> None:
        self._pool, self._jobs, self.room = pool, jobs, room

    def score(self, spec: MetricSpec, pairs: Sequence[Pair]) -> Iterator[Scored]:
        """Score images with a metric, in the order given.

        Raises:
            MetricError: When the metric cannot be created, or ends its process.
        """
        remaining = iter(pairs)
        pending: deque[Future[Scored]] = deque(
            self._pool.submit(_score, spec, pair) for pair in islice(remaining, 2 * self._jobs)
        )
        try:
            while pending:
                scored = pending.popleft().result()
                if scored.unusable is not None:
                    raise MetricError(scored.unusable)
                pending.extend(self._pool.submit(_score, spec, pair) for pair in islice(remaining, 1))
                yield scored
        except BrokenProcessPool as error:
            raise MetricError("it ended its process, perhaps for lack of memory") from error
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def metric_workers(jobs: int) -> Iterator[MetricWorkers]:
    """A pool of processes; at the end of the block, what has not begun is dropped.

    Args:
        jobs: How many.
    """
    # Not forked: this process has threads.
    context = multiprocessing.get_context("spawn")
    room = PixelRoom(MOST_PIXELS, context)
    pool = ProcessPoolExecutor(jobs, context, _start, (room,))
    try:
        yield MetricWorkers(pool, jobs, room)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_open_metric: tuple[str, ScoreImage] | None = None  # of this process


def _start(room: PixelRoom) -> None:
    share_room(room)
    # Ctrl-C goes to all processes of a terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _score(spec: MetricSpec, pair: Pair) -> Scored:
    pixels = None
    try:
        image = read_in_room(pair.image)
        pixels = pixels_digest(image)
        try:
            reference = None if pair.reference is None else read_in_room(pair.reference)
        except ImageError as error:
            raise ImageError(f"its reference {pair.reference}: {error}") from error
    except (ImageError, MemoryError) as error:
        reason = str(error) or NO_MEMORY
        return Scored(pair.number, unreadable=reason, pixels=pixels)
    try:
        score, is_new = _opened(spec)
    except MetricError as error:
        return Scored(pair.number, unusable=str(error))
    try:
        with failing_quietly():
            if is_new:  # one-time work does not count as the metric's speed
                score(image, reference)
            started = time.perf_counter()
            kept = KeptScore(score(image, reference), time.perf_counter() - started)
    except MetricError as error:
        return Scored(pair.number, failed=str(error), pixels=pixels)
    return Scored(pair.number, kept, pixels=pixels)


def _opened(spec: MetricSpec) -> tuple[ScoreImage, bool]:
    """The metric, and whether it was created just now; only the last one is kept."""
    global _open_metric  # noqa: PLW0603 - one for each process of the pool
    if _open_metric is not None and _open_metric[0] == spec.name:
        return _open_metric[1], False
    _open_metric = None
    _open_metric = spec.name, Metrics("cpu").open(spec)
    return _open_metric[1], True
