"""Pillow's process-wide switches, set as decoding needs them while any thread reads an image.

Pillow has no per-call option that refuses truncated files, silences warnings, changes the size limit or the
size of its blocks of memory, and `warnings.catch_warnings` undoes the changes of other threads; hence this
module.
"""

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from PIL import Image, ImageFile

# Pillow logs some damage; without a logging configuration, Python would print it on the screen.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Pillow splits large images into blocks, of 16 MB by default. Below 32 MB they come from the heaps that glibc
# keeps for each thread and hardly ever gives back: hundreds of megabytes for each decoding thread.
_BLOCK_BYTES = 64 << 20
_core: Any = getattr(Image, "core")  # noqa: B009 - documented, but not declared as exported


class _Switches:
    """Counts reading threads: the first one in sets the switches, the last one out restores them."""

    # The comment in the pattern distinguishes this entry from an equal one set by other code.
    _FILTER = ("ignore", None, Warning, re.compile(r"PIL\.(?#grmp)"), 0)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._completion_wanted = False
        self._block_bytes = 0

    def set(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._block_bytes = _core.get_block_size()
                _core.set_block_size(max(self._block_bytes, _BLOCK_BYTES))
            # Some libraries, pyiqa among them, switch silent completion of truncated files on at any time.
            self._completion_wanted |= ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            # `warnings.filterwarnings` would make Python forget which warnings it has already shown.
            filters = cast("list[object]", warnings.filters)
            if self._FILTER not in filters:
                filters.insert(0, self._FILTER)

    def restore(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers:
                return
            _core.set_block_size(self._block_bytes)
            ImageFile.LOAD_TRUNCATED_IMAGES |= self._completion_wanted
            self._completion_wanted = False
            with suppress(ValueError):
                cast("list[object]", warnings.filters).remove(self._FILTER)


_SWITCHES = _Switches()
_LIMIT_LOCK = threading.Lock()


@contextmanager
def pillow_guard() -> Iterator[None]:
    """Refuse truncated files and silence Pillow's warnings within the block, in all threads."""
    _SWITCHES.set()
    try:
        yield
    finally:
        _SWITCHES.restore()


@contextmanager
def lifted_limit(pixel_limit: int) -> Iterator[None]:
    """Raise Pillow's own size limit within the block, for one thread at a time."""
    with _LIMIT_LOCK:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = pixel_limit
        try:
            yield
        finally:
            if pixel_limit == Image.MAX_IMAGE_PIXELS:
                Image.MAX_IMAGE_PIXELS = before
