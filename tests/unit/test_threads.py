"""How a machine's cores are shared among batches."""

import os
import threading

import pytest
import torch

from grmp_plugin.evaluation.threads import Share, share, usable_threads, worker_pool


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("images", "batch", "threads", "expected"),
    [
        (0, 4, 2, Share(1, 1, 2)),
        (1, 4, 8, Share(1, 1, 8)),  # a single image has all cores
        (2, 4, 2, Share(1, 2, 1)),
        (5, 4, 2, Share(3, 2, 1)),
        (8, 4, 2, Share(4, 2, 1)),
        (1000, 4, 1, Share(4, 1, 1)),
        (1000, 4, 2, Share(4, 2, 1)),
        (1000, 16, 8, Share(16, 8, 1)),
        (9, 4, 8, Share(2, 5, 1)),
        (3, 4, 8, Share(1, 3, 2)),
        (1000, 4, 64, Share(4, 16, 4)),
    ],
)
def test_share(images, batch, threads, expected):
    assert share(images, batch, threads) == expected


def test_usable_threads_are_torchs_on_cores_that_are_there(monkeypatch, four_threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert usable_threads() == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5})
    assert usable_threads() == 2


def test_pool_has_its_own_number_of_threads(four_threads):
    together = threading.Barrier(3)

    def ask():
        together.wait(30)  # so that all three threads are asked
        return torch.get_num_threads()

    with worker_pool(3, 1, "test") as pool:
        futures = [pool.submit(ask) for _ in range(3)]
        assert [future.result(60) for future in futures] == [1, 1, 1]
        assert torch.get_num_threads() == 4
    after = []
    later = threading.Thread(target=lambda: after.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert [torch.get_num_threads(), *after] == [4, 4]


def test_pool_drops_what_has_not_begun():
    begun, release = threading.Event(), threading.Event()

    def work():
        begun.set()
        release.wait(30)

    with worker_pool(1, 1, "test") as pool:
        futures = [pool.submit(work) for _ in range(5)]
        begun.wait(30)
        threading.Timer(0.05, release.set).start()
    assert [future.cancelled() for future in futures] == [False, True, True, True, True]
