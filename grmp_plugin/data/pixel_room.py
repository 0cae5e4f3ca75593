"""A bound on the pixels that several threads decode at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Reserve = Callable[[int], None]
"""Called with the number of pixels of an image before they are decoded; may wait until there is room."""


def no_limit(pixels: int) -> None:
    """Reserve nothing: for callers that read one image at a time."""


class PixelRoom:
    """Lets threads decode images side by side as long as these have few enough pixels together.

    An image that is larger than the whole room is decoded while no other is.

    Args:
        pixels: Most pixels, width x height, at once.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._used = 0
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
                self._used -= held
                self._changed.notify_all()

    def _take(self, pixels: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + pixels <= self._pixels)
            self._used += pixels
