"""A bound on the pixels that several threads, or processes, decode at once."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.context import BaseContext
from typing import Any

Reserve = Callable[[int], None]
"""Called with the number of pixels of an image before they are decoded; may wait until there is room."""


# Pixels that are decoded at once. While an image is decoded and reduced, it takes about 10 bytes a pixel: 4
# in Pillow, 3 as an array, and what the decoder needs. So this is about 1 GB, however many images there are.
MOST_PIXELS = 100_000_000


def no_limit(pixels: int) -> None:
    """Reserve nothing: for callers that read one image at a time."""


class _Used:
    """Pixels that are taken, as threads count them."""

    value = 0


class PixelRoom:
    """Lets threads decode images side by side as long as these have few enough pixels together.

    An image that is larger than the whole room is decoded while no other is.

    Args:
        pixels: Most pixels, width x height, at once.
        processes: How processes are started that share the room, which is then passed to each as it starts;
            None: it is for the threads of this process.
    """

    def __init__(self, pixels: int, processes: BaseContext | None = None) -> None:
        self._pixels = pixels
        self._used: Any
        self._changed: Any
        self.clear()
        if processes is not None:
            self._used, self._changed = processes.RawValue("q", 0), processes.Condition()

    def clear(self) -> None:
        """Free all room, for a process in which none of the threads is left."""
        self._used = _Used()
        self._changed = threading.Condition()

    @contextmanager
    def entry(self) -> Iterator[Reserve]:
        """Room for one image: call what this yields with its size; the block's end frees the room."""
        held = 0

        def reserve(pixels: int) -> None:
            nonlocal held
            if not held:
                self._take(pixels)
                held = pixels

        try:
            yield reserve
        finally:
            with self._changed:
                self._used.value -= held
                self._changed.notify_all()

    def _take(self, pixels: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._used.value or self._used.value + pixels <= self._pixels)
            self._used.value += pixels


_room = PixelRoom(MOST_PIXELS)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_room.clear)


def share_room(room: PixelRoom) -> None:
    """Have all threads of this process decode in a room that it shares with other processes."""
    global _room  # noqa: PLW0603 - one for each process
    _room = room


def decoding() -> AbstractContextManager[Reserve]:
    """Room for one image among all that are decoded here at once; never ask for two in one thread."""
    return _room.entry()
