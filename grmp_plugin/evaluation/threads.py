"""How the cores of a machine share the work of scoring.

Images do not depend on each other, so several batches go through the network side by side, each on one core.
One batch on all cores would wait for the slowest of them in every layer, and fight with what decodes.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch

# More batches side by side would cost memory, and wait for each other in Python: each gets more threads.
_MOST_WORKERS = 16


class Share(NamedTuple):
    """How one machine scores some images.

    Attributes:
        batch: images in a batch.
        workers: batches side by side.
        each: torch's threads for one of them.
    """

    batch: int
    workers: int
    each: int


def usable_threads() -> int:
    """Threads that torch would use here, but no more than the cores that this process may run on.

    So `OMP_NUM_THREADS`, `torch.set_num_threads` and `taskset` count.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(torch.get_num_threads(), cores)


def share(images: int, batch: int, threads: int) -> Share:
    """Batches small enough that every thread has one, and threads for as many batches as there are.

    Args:
        images: how many there are; more than `batch * threads` are as good as that many.
        batch: images in a batch at most.
        threads: in all.
    """
    wanted = min(threads, _MOST_WORKERS)
    batch = max(1, min(batch, -(-images // wanted)))
    workers = max(1, min(wanted, -(-images // batch)))
    return Share(batch, workers, max(1, threads // workers))


@contextmanager
def worker_pool(workers: int, each: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads use so many of torch's threads each; what has not begun in the end is dropped.

    Args:
        workers: threads of the pool.
        each: torch's threads for one operation.
        name: of the threads.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, name, torch.set_num_threads, (each,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # Every thread has its own number, but one that begins later takes over the number set last.
        torch.set_num_threads(before)
