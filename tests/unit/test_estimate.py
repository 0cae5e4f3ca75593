"""The estimate of how long an adaptation takes, on a clock that only the work itself moves."""

from types import SimpleNamespace

import pytest

from grmp_plugin.training import estimate
from grmp_plugin.training.estimate import estimate_seconds

TEXTS, IMAGE, VIEW = 0.5, 0.25, 2.0  # seconds: of a step, of an image in it, of embedding a view once
SCORE, EMBED = 0.125, 1.0  # of an image


class Work:
    """Stands for the trainer, the shots and the scorer."""

    def __init__(self, shots, kept_views):
        self.now = 0.0
        self.net = None
        self.frozen = SimpleNamespace(kept_views=kept_views)
        self._shots, self._embedded = shots, set()

    def __len__(self):
        return self._shots

    def batch(self, images):
        return images

    def try_gradients(self, images):
        self.now += TEXTS + IMAGE * len(images) + VIEW * len(set(images) - self._embedded)
        self._embedded.update(images)

    def scores(self, net, images):
        self.now += SCORE * len(images)

    def embed(self, net, images):
        self.now += EMBED * len(images)

    def embeddings_ahead(self, images, times):
        return len(images)


@pytest.mark.parametrize("shots", [1, 2, 3, 50, 400])
@pytest.mark.parametrize("kept_views", [None, 8])
@pytest.mark.parametrize("splits", [1, 3])
def test_estimate(monkeypatch, shots, kept_views, splits):
    work, scored, epochs, batch_size = Work(shots, kept_views), list(range(500)), 20, 192
    monkeypatch.setattr(estimate, "time", SimpleNamespace(monotonic=lambda: work.now))
    found = estimate_seconds(work, work, work, scored, epochs, batch_size, splits)
    steps = epochs * -(-shots // batch_size)
    training = steps * TEXTS + epochs * shots * IMAGE + (kept_views or 1) * shots * VIEW
    scoring = 500 * EMBED + 2 * splits * 500 * SCORE
    assert found == pytest.approx(splits * training + scoring)
