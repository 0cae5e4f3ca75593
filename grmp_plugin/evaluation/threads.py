"""How the cores of a machine share the work of scoring.

Images are independent, so several batches pass through the network in parallel, each on one core. A single
batch on all cores would wait for the slowest core in every layer, and compete with the decoding threads.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch

# More parallel batches would cost memory and wait for each other in Python; beyond this, each gets more
# threads.
_MOST_WORKERS = 16


class Share(NamedTuple):
    """How to divide the work.

    Attributes:
        batch: Images per batch.
        workers: Batches in parallel.
        each: torch's threads per batch.
    """

    batch: int
    workers: int
    each: int


def usable_threads() -> int:
    """Threads that torch would use here, but at most the cores that this process may run on.

    Respects `OMP_NUM_THREADS`, `torch.set_num_threads` and `taskset`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(torch.get_num_threads(), cores)


def share(images: int, batch: int, threads: int) -> Share:
    """Divide images into batches so that every thread has work.

    Args:
        images: Number of images; beyond `batch * threads` the number makes no difference.
        batch: Most images per batch.
        threads: Threads in all.
    """
    wanted = min(threads, _MOST_WORKERS)
    batch = max(1, min(batch, -(-images // wanted)))
    workers = max(1, min(wanted, -(-images // batch)))
    return Share(batch, workers, max(1, threads // workers))


@contextmanager
def worker_pool(workers: int, each: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """A thread pool that sets torch's threads, and cancels at the end of the block what has not begun.

    Args:
        workers: Threads of the pool.
        each: torch's threads per operation in each of them.
        name: Prefix of the threads' names.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, name, torch.set_num_threads, (each,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # The number is kept per thread, but a new thread inherits the number that was set last.
        torch.set_num_threads(before)
