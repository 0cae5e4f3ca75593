"""Read pictures in threads, in order, without near-duplicates; torch is not imported."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import numpy as np

from grmp_plugin.data.images import read_image
from grmp_plugin.data.pixel_room import PixelRoom
from grmp_plugin.errors import ImageError
from grmp_plugin.labelling.near_duplicates import Distinct, Thumbprint, thumbprint

_MOST_PIXELS = 100_000_000  # decoded at once
_FEWEST_THREADS, _MOST_THREADS = 4, 16  # files may be on slow storage
_AHEAD = 2  # pictures that are read ahead, per thread

T = TypeVar("T")


@dataclass(frozen=True)
class LeftOut:
    """What of the pictures cannot be chosen.

    Attributes:
        unreadable: Path and reason.
        near_duplicates: Paths.
    """

    unreadable: tuple[tuple[str, str], ...] = ()
    near_duplicates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read(Generic[T]):
    """One picture.

    Attributes:
        path: Its path.
        error: Why it cannot be read; None where it can.
        thumb: Its thumbprint; None where it cannot be read.
        made: What was made of its pixels; None where it cannot be read.
    """

    path: str
    error: str | None = None
    thumb: Thumbprint | None = None
    made: T | None = None


def read_some(paths: Iterable[str], count: int, known: Iterable[str] = ()) -> tuple[list[str], LeftOut]:
    """The first pictures of a sequence that can be read, without near-duplicates.

    Args:
        paths: Paths in the order of preference; no more are read than needed.
        count: Most pictures to return.
        known: Pictures of which no near-duplicate is wanted.

    Returns:
        At most `count` paths, and what was left out on the way.
    """
    distinct, chosen = Distinct(), list[str]()
    for one in read_each(known, _nothing):
        if one.thumb is not None:
            distinct.add(one.thumb)
    bad: list[tuple[str, str]] = []
    alike: list[str] = []
    reading = read_each(paths, _nothing)
    for one in reading:
        if one.thumb is None:
            bad.append((one.path, one.error or ""))
        elif distinct.add(one.thumb):
            chosen.append(one.path)
            if len(chosen) == count:
                break
        else:
            alike.append(one.path)
    reading.close()
    return chosen, LeftOut(tuple(bad), tuple(alike))


def read_each(
    paths: Iterable[str], make: Callable[[np.ndarray], T], begin: Callable[[], None] | None = None
) -> Generator[Read[T], None, None]:
    """Read pictures in threads, in order; close the generator to stop early.

    Args:
        paths: Paths.
        make: Makes of the pixels, (H, W, 3) uint8 RGB, what is wanted of a picture; called in the threads.
        begin: Called once in each thread.
    """
    room = PixelRoom(_MOST_PIXELS)

    def read(path: str) -> Read[T]:
        try:
            with room.entry() as reserve:
                pixels = read_image(path, reserve=reserve)
                return Read(path, thumb=thumbprint(pixels), made=make(pixels))
        except ImageError as error:
            return Read(path, error=error.message)
        except MemoryError:
            return Read(path, error="not enough memory to decode it")

    threads = min(max(os.cpu_count() or 1, _FEWEST_THREADS), _MOST_THREADS)
    remaining = iter(paths)
    pool = ThreadPoolExecutor(threads, "grmp-label", begin)
    try:
        first = islice(remaining, _AHEAD * threads)
        pending: deque[Future[Read[T]]] = deque(pool.submit(read, path) for path in first)
        while pending:
            one = pending.popleft().result()
            pending.extend(pool.submit(read, path) for path in islice(remaining, 1))
            yield one
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _nothing(pixels: np.ndarray) -> None:
    pass
