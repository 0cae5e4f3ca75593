"""Threads that decode image files while the network computes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

DECODERS = 4


@contextmanager
def decoding_pool(threads: int = DECODERS) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads for reading images; at the end, work that has not begun is dropped.

    Args:
        threads: Number of threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="grmp-decode")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
