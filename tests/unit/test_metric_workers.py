"""Metrics in other processes: the same scores, errors and digests as in this one."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import grmp_plugin as grmp
from grmp_plugin.data import pixel_room
from grmp_plugin.data.pixel_room import MOST_PIXELS, PixelRoom
from grmp_plugin.errors import InputError, MetricError
from grmp_plugin.evaluation import metric_workers as workers
from grmp_plugin.evaluation.metric_names import find_metrics
from grmp_plugin.evaluation.metric_scores import score_images
from grmp_plugin.evaluation.metrics import Metrics
from grmp_plugin.evaluation.score_cache import ScoreCache


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for number in range(6):
        paths.append(str(tmp_path / f"{number}.png"))
        size = (70, 90) if number == 3 else (80, 100)
        Image.fromarray(rng.integers(0, 40 * number + 20, (*size, 3), np.uint8)).save(paths[-1])
    (tmp_path / "broken.png").write_bytes(b"broken")
    (tmp_path / "cut.png").write_bytes((tmp_path / "1.png").read_bytes()[:2000])
    return [*paths, str(tmp_path / "broken.png"), str(tmp_path / "cut.png")]


def test_same_results_as_in_one_process(images, tmp_path):
    specs = find_metrics(["piqe", "psnr", "entropy"], references=True).metrics
    tables = {}
    for jobs in (1, 2):
        cache = ScoreCache(tmp_path / f"cache{jobs}")
        references = [images[0]] * len(images)
        seen = []
        tables[jobs] = score_images(
            images, references, specs, Metrics("cpu"), cache, seen.append, [images[0]] * len(images), jobs
        )
        cache.close()
        assert [one.stage for one in seen if one.done == one.total] != []
    one, two = tables[1], tables[2]
    assert one.errors == two.errors
    assert [reason is None for reason in two.errors] == [True] * 6 + [False] * 2
    assert one.pixels == two.pixels
    for mine, theirs in zip(one.metrics, two.metrics, strict=True):
        np.testing.assert_array_equal(mine.scores, theirs.scores)
        assert mine.errors == theirs.errors
        assert mine.error == theirs.error
    assert two.metrics[1].errors[3] == "the reference has 100x80 pixels, the image 90x70"


def test_a_metric_that_cannot_be_created_costs_only_itself(images, tmp_path):
    piqe, psnr = find_metrics(["piqe", "psnr"], references=True).metrics
    import dataclasses

    unknown = dataclasses.replace(piqe, name="no such metric")
    with workers.metric_workers(2) as pool:
        pairs = [workers.Pair(number, image, images[0]) for number, image in enumerate(images[:3])]
        with pytest.raises(MetricError):
            list(pool.score(unknown, pairs))
        assert [one.number for one in pool.score(psnr, pairs)] == [0, 1, 2]


def test_workers_read_within_one_room(images):
    """However many there are: what one of them may decode depends on what all of them do."""
    (spec,) = find_metrics(["psnr"], references=True).metrics
    pair = workers.Pair(0, images[0], images[-2])  # of a broken reference: no metric is created
    with workers.metric_workers(2) as pool, ThreadPoolExecutor(1) as thread:
        (first,) = pool.score(spec, [pair])  # a process has started
        with pool.room.entry() as reserve:
            reserve(MOST_PIXELS)
            second = thread.submit(list, pool.score(spec, [pair]))
            time.sleep(0.5)
            assert not second.done()
        assert second.result(30) == [first]
    assert "its reference" in first.unreadable


def test_a_worker_reserves_image_and_reference(images, monkeypatch):
    """One after the other, as two of them could each wait for what the other has."""
    taken = []

    class Recording(PixelRoom):
        def _take(self, pixels):
            assert self._used.value == 0
            super()._take(pixels)
            taken.append(pixels)

    monkeypatch.setattr(pixel_room, "_room", Recording(MOST_PIXELS))
    monkeypatch.setattr(workers, "_opened", lambda spec: (lambda image, reference: 0.5, False))
    (spec,) = find_metrics(["psnr"], references=True).metrics
    assert workers._score(spec, workers.Pair(0, images[0], images[3])).score.score == 0.5
    assert taken == [80 * 100, 70 * 90]


def test_wrong_numbers_of_jobs(images):
    with pytest.raises(InputError, match="at least 1"):
        grmp.compare(images[:2], ["piqe"], jobs=0)
