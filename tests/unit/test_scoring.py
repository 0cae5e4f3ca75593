"""Scoring files: order, batches, threads, and what is read ahead."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image

from grmp_plugin.errors import InputError
from grmp_plugin.evaluation.quality_map import quality_map
from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions, pick_device

IMAGES = 23


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Different images, and two files that are none."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = []
    for number in range(IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (4 + number, 5, 3), np.uint8))
        # The first ones take longest to decode.
        paths.append(str(folder / f"{number}.png"))
        coarse.resize((40, 40) if number > 3 else (900, 900)).save(paths[-1])
    (folder / "text.png").write_text("no image")
    paths.insert(6, str(folder / "text.png"))
    paths.insert(20, str(folder / "gone.png"))
    return paths


@pytest.fixture
def scorer(small_network):
    def make(**options):
        return Scorer(small_network(kind="crops"), ScoringOptions(device="cpu", **options))

    return make


def test_order_and_scores_do_not_depend_on_threads_and_batches(scorer, files):
    expected = list(scorer(threads=1, batch_size=1).score(files))
    assert [row.image for row in expected] == files
    scores = [row.score for row in expected if row.error is None]
    assert len(set(scores)) == len(scores) == IMAGES
    assert [row.image for row in expected if row.error] == [files[6], files[20]]
    for threads in (1, 2, 5):
        for batch_size in (None, 3, 100):
            rows = list(scorer(threads=threads, batch_size=batch_size).score(iter(files)))
            assert [(row.image, row.error) for row in rows] == [(row.image, row.error) for row in expected]
            assert [r.score for r in rows if not r.error] == pytest.approx(scores, abs=1e-6)


def test_no_files(scorer):
    assert list(scorer(threads=2).score([])) == []


def test_files_that_are_no_images_only(scorer, files):
    rows = list(scorer(threads=2).score([files[6], files[20]]))
    assert [row.score for row in rows] == [None, None]
    assert all(row.error for row in rows)


def test_few_files_are_read_ahead(scorer, files):
    """A long list costs no memory: paths are taken as results are."""
    taken = []

    def paths():
        for number in range(1000):
            taken.append(number)
            yield files[10]

    results = scorer(threads=2, batch_size=4).score(paths())
    for _ in range(8):
        next(results)
    assert len(taken) <= 8 + 4 * 4 + 1
    results.close()


def test_nothing_goes_on_after_the_end(scorer, files):
    results = scorer(threads=3).score(files * 20)
    next(results)
    assert {thread.name.rsplit("_", 1)[0] for thread in threading.enumerate()} >= {
        "grmp-decode",
        "grmp-network",
    }
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("grmp-")]


def test_scores_are_not_float64_before_they_leave_the_device(small_network, monkeypatch):
    """MPS has no float64: there a score becomes float64 only on the CPU."""
    order = []
    for name in ("double", "cpu"):
        original = getattr(torch.Tensor, name)

        def noted(self, original=original, name=name):
            order.append(name)
            return original(self)

        monkeypatch.setattr(torch.Tensor, name, noted)
    network = small_network()
    image = np.zeros((40, 40, 3), np.uint8)
    scorer = Scorer(network, ScoringOptions(device="cpu"))
    for run in (lambda: scorer.score_image(image), lambda: quality_map(network, image)):
        order.clear()
        run()
        assert order[-2:] == ["cpu", "double"]
        assert order.count("double") == 1


@pytest.mark.parametrize(
    ("precision", "advice"), [("fp32", "the weights overflow"), ("bf16", "use fp32"), ("fp16", "use fp32")]
)
def test_advice_about_scores_that_are_not_finite(scorer, files, monkeypatch, precision, advice):
    """In fp32, nobody is told to use fp32."""
    prepared = scorer(precision=precision)
    monkeypatch.setattr(prepared.network, "score_views", lambda views: torch.full((len(views), 1), np.nan))
    (row,) = prepared.score([files[7]])
    assert row.score is None
    assert row.error == f"the network's score in {precision} is nan: {advice}"


@pytest.mark.parametrize(
    ("cuda", "mps", "found"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_best_device_is_chosen(monkeypatch, cuda, mps, found):
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
    assert pick_device("auto").type == found
    if not mps:
        with pytest.raises(InputError, match="'mps' is not available here; available: cpu") as caught:
            pick_device("mps")
        assert caught.value.argument == "device"
