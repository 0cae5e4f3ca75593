"""Running metrics over images: a failure affects only its metric or image, and nothing is computed twice."""

import dataclasses
import math

import numpy as np
import pytest
from PIL import Image

from grmp_plugin.errors import MetricError
from grmp_plugin.evaluation.metric_names import MetricSpec, find_metrics
from grmp_plugin.evaluation.metric_scores import score_images
from grmp_plugin.evaluation.metrics import Metrics, failing_quietly
from grmp_plugin.evaluation.network_timeout import NetworkTimeout
from grmp_plugin.evaluation.score_cache import ScoreCache
from grmp_plugin.network.grmp_iqa import GRMPIQA


class MadeMetrics(Metrics):
    """Metrics defined by functions; records which were created."""

    def __init__(self, **functions):
        super().__init__("cpu")
        self.functions = functions
        self.created: list[str] = []

    def identity(self, spec):
        return {"metric": spec.name}

    def open(self, spec):
        with failing_quietly():
            self.created.append(spec.name)
            function = self.functions[spec.name]
            if isinstance(function, Exception):
                raise function
        return function


def brightness(image, reference):
    print("discarded")
    return float(image.mean())


@pytest.fixture
def images(tmp_path):
    paths = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((20, 30, 3), 40 * number + 7, np.uint8)).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def cache(tmp_path):
    return ScoreCache(tmp_path / "scores.sqlite")


def run(images, metrics, cache, *names, references=None):
    specs = [MetricSpec(name, own=False, reference=references is not None) for name in names]
    return score_images(images, references, specs, metrics, cache, lambda progress: None)


def test_second_run_creates_no_metric_and_decodes_no_image(images, cache, monkeypatch, capfd):
    metrics = MadeMetrics(first=brightness, second=lambda image, reference: float(image.max()))
    before = run(images, metrics, cache, "first")
    assert before.metrics[0].scores.tolist() == [7, 47, 87, 127, 167]
    assert before.metrics[0].seconds > 0
    with monkeypatch.context() as patch:
        patch.setattr("grmp_plugin.evaluation.metric_scores.read_image", lambda *a, **k: 1 / 0)
        again = run(images, MadeMetrics(), cache, "first")
    np.testing.assert_array_equal(again.metrics[0].scores, before.metrics[0].scores)
    assert again.metrics[0].seconds == before.metrics[0].seconds
    metrics.created.clear()
    run(images, metrics, cache, "first", "second")
    assert metrics.created == ["second"]
    assert capfd.readouterr() == ("", "")


def test_another_image_of_the_same_name_is_scored_again(images, cache):
    metrics = MadeMetrics(first=brightness)
    run(images, metrics, cache, "first")
    Image.fromarray(np.full((20, 30, 3), 250, np.uint8)).save(images[2])
    assert run(images, metrics, cache, "first").metrics[0].scores.tolist() == [7, 47, 250, 127, 167]


def test_scores_are_kept_by_reference(images, cache):
    metrics = MadeMetrics(difference=lambda image, reference: float(image.mean() - reference.mean()))
    dark = run(images, metrics, cache, "difference", references=images[:1] * 5)
    bright = run(images, metrics, cache, "difference", references=images[4:] * 5)
    assert dark.metrics[0].scores.tolist() == [0, 40, 80, 120, 160]
    assert bright.metrics[0].scores.tolist() == [-160, -120, -80, -40, 0]


def test_a_metric_that_cannot_be_created_does_not_affect_others(images, cache):
    metrics = MadeMetrics(good=brightness, bad=RuntimeError("needs\na CUDA device"))
    good, bad = run(images, metrics, cache, "good", "bad").metrics
    assert bad.error == "RuntimeError: needs"
    assert np.isnan(bad.scores).all()
    assert good.error is None
    assert np.isfinite(good.scores).all()


def test_failures_and_nan_affect_only_their_images(images, cache):
    def moody(image, reference):
        if image.mean() > 160:
            raise ValueError("too bright")
        return math.nan if image.mean() > 120 else 1.0

    result = run(images, MadeMetrics(moody=moody), cache, "moody").metrics[0]
    assert result.error is None
    assert result.errors == (None, None, None, "its score is nan", "ValueError: too bright")


def test_a_metric_that_fails_on_most_images_is_left_out(images, cache):
    def picky(image, reference):
        if image.mean() > 10:
            raise MetricError("only dark ones")
        return 1.0

    error = run(images, MadeMetrics(picky=picky), cache, "picky").metrics[0].error
    assert error == "no score for 4 of 5 images: only dark ones"


def test_unreadable_images_are_reported_once_and_fail_no_metric(images, cache, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    metrics = MadeMetrics(first=brightness)
    scores = run([*images, str(broken), str(tmp_path / "gone.png")], metrics, cache, "first")
    assert scores.errors[:5] == (None,) * 5
    assert scores.errors[5]
    assert "no such file" in scores.errors[6].lower()
    assert scores.metrics[0].error is None


def test_scores_before_an_interruption_are_kept(images, cache):
    def interrupted(image, reference):
        if image.mean() > 100:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        run(images, MadeMetrics(metric=interrupted), cache, "metric")
    metrics = MadeMetrics(metric=brightness)
    scores = run(images, metrics, cache, "metric").metrics[0].scores
    assert scores.tolist() == [1, 1, 1, 127, 167]


def test_the_network_is_not_used_without_a_download(monkeypatch):
    def used(self):
        raise AssertionError("the network was used")

    monkeypatch.setattr(NetworkTimeout, "limited", used)
    metrics = Metrics("cpu")
    offline, online = (find_metrics([words], references=False).metrics for words in ("offline", "musiq"))
    picture = np.random.default_rng(0).integers(0, 256, (128, 160, 3), np.uint8)
    for spec in offline:
        metrics.identity(spec)
        assert math.isfinite(metrics.open(spec)(picture, None))
    with pytest.raises(MetricError, match="the network was used"):
        metrics.open(*online)


def test_networks_in_memory_are_identified_by_their_tensors(small_checkpoint):
    metrics = Metrics("cpu")

    def digest(network):
        return metrics.identity(MetricSpec("a", own=True, network=network))["weights_sha256"]

    first, other = (small_checkpoint("vit", seed=seed) for seed in (0, 1))
    assert digest(first) == digest(dataclasses.replace(first, info={"licence": "other"}))
    assert digest(first) == digest(GRMPIQA(first))
    assert digest(first) != digest(other)


def test_a_network_in_memory_is_not_changed(small_network, small_checkpoint):
    network, picture = small_network("vit"), np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    metrics = Metrics("cpu")
    score = metrics.open(MetricSpec("a", own=True, network=network))(picture, None)
    again = metrics.open(MetricSpec("b", own=True, network=small_checkpoint("vit")))(picture, None)
    assert score == again
    assert all(parameter.requires_grad for parameter in network.parameters())
