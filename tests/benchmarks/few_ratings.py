"""What few ratings buy in one way or another: the variants that `adaptation.py` compares.

In a split every variant learns from the same shots and is tested on the same other images. Variants that
start from one backbone share what its frozen part makes of an image.
"""

import dataclasses
import functools
import hashlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from grmp_plugin.data.ratings import Ratings
from grmp_plugin.data.splits import draw_split
from grmp_plugin.errors import TrainingError
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.models import weights_digest
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.start import starting_checkpoint, with_new_prompts
from grmp_plugin.network.towers import embed_statistics, encode_image, project_image
from grmp_plugin.statistics.correlation import plcc, srcc
from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.embedded.captions import PLAIN_QUALITY_TEXTS
from grmp_plugin.training.frozen import Shown
from grmp_plugin.training.loop import Step, run
from grmp_plugin.training.prompts_run import shuffled_batches, trainer_options
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.scorer import RatedScorer
from grmp_plugin.training.settings import AdaptSettings

METRIC, HONEST = "grmp_iqa-tiny", "grmp_iqa-tiny-meta"
_SMALL = np.logspace(-3, 3, 13)  # alphas for features of length 1
_LARGE = np.logspace(0, 6, 13)  # alphas for standardised features
_PENALTIES = np.logspace(-3, 3, 25)
_FIRST_WEIGHT = 0.7  # of the image features beside the trunk's statistics; 0.5 and 1 are as good within 0.01
_IMAGE_FEATURES = 192

Row = dict[str, Any]
"""What a variant gave on a split: `srcc` and `plcc` on its test images, ` before` of the start; facts."""


Cached = dict[tuple[int, int | None], Shown]


@dataclasses.dataclass(frozen=True)
class Start:
    """What gradients adapt: a model, perhaps with random prompts, and lambda."""

    model: str
    strength: float
    random: bool = False


TRAINED = {
    "metric": Start(METRIC, 5.0),
    "metric-0": Start(METRIC, 0.0),
    "meta": Start(HONEST, 5.0),
    "meta-1": Start(HONEST, 1.0),
    "meta-0": Start(HONEST, 0.0),
    "random": Start(HONEST, 5.0, random=True),
    "random-1": Start(HONEST, 1.0, random=True),
    "random-0": Start(HONEST, 0.0, random=True),
}


@dataclasses.dataclass(frozen=True)
class Grid:
    """What cross-validation inside the shots chooses from, beside the start itself."""

    learning_rates: tuple[float, ...] = (0.005, 0.05, 0.5)
    epochs: tuple[int, ...] = (25, 100)
    folds: int = 5


@dataclasses.dataclass
class Trained:
    """Scores of test images, then shots: by the start, adapted, by the mean of both weights; and facts."""

    before: np.ndarray
    after: np.ndarray
    averaged: np.ndarray
    facts: dict[str, Any]


class SplitWork:
    """Shots and test images of one seed, and what was computed on them."""

    def __init__(self, ratings: Ratings, shots: int, seed: int, settings: AdaptSettings) -> None:
        self.seed = seed
        split = draw_split(ratings, shots, seed, sampling=settings.sampling, test_share=settings.test_share)
        self.shots, self.test = split.shots, split.test
        self.all = [*self.test.tolist(), *self.shots.tolist()]
        self.shown: dict[tuple[str, bool], Cached] = {}  # by model, and whether there is a teacher
        self.views: dict[str, RatedViews] = {}
        self.scorers: dict[str, RatedScorer] = {}
        self.before: dict[tuple[str, bool], np.ndarray] = {}
        self.trained: dict[str, Trained] = {}
        self.chosen: dict[str, tuple[Trained, np.ndarray]] = {}

    def remembered(self, model: str, teacher: bool) -> Cached:
        """What is known of the shots' training views."""
        if not teacher and (model, False) not in self.shown:
            known = self.shown.get((model, True), {})
            self.shown[model, False] = {key: each._replace(scenes=None) for key, each in known.items()}
        return self.shown.setdefault((model, teacher), {})


class Bench:
    """Rated images, and what was computed on them.

    Args:
        ratings: the images.
        settings: of gradient adaptation.
        grid: what cross-validation chooses from.
        kept: folder of results; what is there is not computed again.
    """

    def __init__(self, ratings: Ratings, settings: AdaptSettings, grid: Grid, kept: Path) -> None:
        self.ratings, self.settings, self.grid, self.kept = ratings, settings, grid, kept
        self.mos = -ratings.mos if ratings.lower_better else ratings.mos
        self._scorers: dict[str, RatedScorer] = {}
        self._features: dict[str, dict[str, np.ndarray]] = {}
        self._split: tuple[tuple[int, int], SplitWork] | None = None
        kept.mkdir(parents=True, exist_ok=True)

    def row(self, variant: str, shots: int, seed: int) -> Row:
        """What a variant gives on a split."""
        learned = [] if variant in WITHOUT_TRAINING else [self.settings]
        learned += [self.grid] if "cv" in variant else []
        weights = _digest(METRIC if variant.startswith("metric") else HONEST)
        choice = (self.settings.sampling, self.settings.test_share)
        identity = f"{self.ratings.digest()} {weights} {choice} {learned}"
        key = hashlib.sha256(identity.encode()).hexdigest()[:12]
        file = self.kept / f"{variant} {shots} {seed} {key}.json"
        if not file.exists():
            found = VARIANTS[variant](self, self._work_on(shots, seed))
            file.write_text(json.dumps(found))
            print(".", end="", file=sys.stderr, flush=True)
        return json.loads(file.read_text())

    def measured(self, split: SplitWork, scores: np.ndarray, when: str = "") -> Row:
        """Agreement of scores of the test images."""
        mos = self.mos[split.test]
        return {f"srcc{when}": srcc(scores, mos), f"plcc{when}": plcc(scores, mos)}

    def start_scores(self, start: Start, split: SplitWork) -> np.ndarray:
        """Scores by the start, of test images and then shots."""
        key = (start.model, start.random)
        if key not in split.before:
            network = GRMPIQA(self._checkpoint(start, split.seed))
            split.before[key] = self._scores(network, start, split, split.all)
        return split.before[key]

    def trained(self, name: str, split: SplitWork) -> Trained:
        """What adaptation with the settings gives."""
        if name not in split.trained:
            split.trained[name] = self._trained(TRAINED[name], split, self.settings)
        return split.trained[name]

    def cross_validated(self, name: str, split: SplitWork) -> tuple[Trained, np.ndarray]:
        """Adaptation as cross-validation chooses, and scores of the shots by networks that did not see them.

        Learning rate and epochs are those with the largest PLCC + SRCC over the scores of all folds; the
        start itself, where none is better.
        """
        if name not in split.chosen:
            split.chosen[name] = self._choose(name, split)
        return split.chosen[name]

    def _choose(self, name: str, split: SplitWork) -> tuple[Trained, np.ndarray]:
        start, count = TRAINED[name], len(split.shots)
        before = self.start_scores(start, split)
        best = (_judge(before[-count:], self.mos[split.shots]), None, before[-count:])
        for rate in self.grid.learning_rates:
            for epochs in self.grid.epochs:
                settings = dataclasses.replace(self.settings, learning_rate=rate, epochs=epochs)
                try:
                    unseen = self._out_of_fold(start, split, settings)
                except TrainingError:  # too large a learning rate
                    continue
                found = (_judge(unseen, self.mos[split.shots]), settings, unseen)
                best = max(best, found, key=lambda each: each[0])
        _, settings, unseen = best
        if settings is None:
            return Trained(before, before, before, {"moved": 0.0, "chosen": "start"}), unseen
        result = self._trained(start, split, settings)
        result.facts["chosen"] = f"{settings.learning_rate:g} x {settings.epochs}"
        return result, unseen

    def features(self, model: str) -> dict[str, np.ndarray]:
        """What the frozen backbone makes of every image, view by view: (N, V, ...).

        `plain`: Image features without prompts. `trunk`: The trunk's standardised statistics of the view.
        `zero`: Probability of good quality by hand-written texts.
        """
        if model not in self._features:
            file = self.kept / f"features {self.ratings.digest()[:8]} {_digest(model)}.npz"
            if not file.exists():
                np.savez(file, **self._read_features(model))
            self._features[model] = dict(np.load(file))
        return self._features[model]

    def _read_features(self, model: str) -> dict[str, np.ndarray]:
        network = GRMPIQA(model)
        visual, config = network.clip.visual, network.config.preprocess
        images = RatedViews(self.ratings.images, np.zeros(len(self.ratings.images)), config)
        found: dict[str, list[np.ndarray]] = {}
        with torch.inference_mode():
            texts = network.text_features(PLAIN_QUALITY_TEXTS)
            for number in range(len(images)):
                pixels = normalize(images.views(number).float() / 255, config)
                statistics = visual.conv1.net.statistics(pixels)
                plain = project_image(visual, encode_image(visual, embed_statistics(visual, statistics)))
                logits = network.clip.logit_scale.exp() * plain @ texts.T
                each = {
                    "plain": plain,
                    "trunk": visual.conv1.standardized_view(statistics.view),
                    "zero": logits.softmax(-1)[:, 0],
                }
                for name, value in each.items():
                    found.setdefault(name, []).append(value.numpy())
        return {name: np.array(values) for name, values in found.items()}

    def _out_of_fold(self, start: Start, split: SplitWork, settings: AdaptSettings) -> np.ndarray:
        """Score of each shot by a network that was adapted to the other folds: (S,)."""
        count = len(split.shots)
        order = np.random.default_rng([split.seed, 5]).permutation(count)
        scores = np.empty(count)
        for fold in np.array_split(order, self.grid.folds):
            others = np.setdiff1d(np.arange(count), fold)
            trainer = self._adapted(start, split, settings, others, [])
            scores[fold] = self._scores(trainer.net, start, split, split.shots[fold].tolist())
        return scores

    def _trained(self, start: Start, split: SplitWork, settings: AdaptSettings) -> Trained:
        log: list[dict[str, float]] = []
        trainer = self._adapted(start, split, settings, np.arange(len(split.shots)), log)
        after = self._scores(trainer.net, start, split, split.all)
        facts = {name: _mean(log, name) for name in ("angle", "projected")} | {"moved": trainer.moved()}
        trainer.set_learned({n: (p + trainer.start_values[n]) / 2 for n, p in trainer.learned.items()})
        averaged = self._scores(trainer.net, start, split, split.all)
        return Trained(self.start_scores(start, split), after, averaged, facts)

    def _adapted(
        self,
        start: Start,
        split: SplitWork,
        settings: AdaptSettings,
        numbers: np.ndarray,
        log: list[dict[str, float]],
    ) -> GRMPAdaptModel:
        """Adapted to some of the shots."""
        settings = dataclasses.replace(settings, strength=start.strength)
        checkpoint = self._checkpoint(start, split.seed)
        trainer = GRMPAdaptModel(trainer_options(checkpoint, settings, split.seed, "cpu"))
        # All starts of one model have the same embedding, and the same teacher.
        trainer.frozen._cached = split.remembered(start.model, trainer.teacher is not None)
        if start.model not in split.views:
            scale = self.ratings.scale(split.shots)
            split.views[start.model] = RatedViews(
                [self.ratings.images[i] for i in split.shots],
                scale.to_quality(self.ratings.mos[split.shots]).clip(0, 1),
                trainer.net.config.preprocess,
                training_views=settings.views,
                seed=split.seed,
            )

        def on_step(step: Step) -> None:
            log.append(dict(step.losses))

        run(
            trainer,
            shuffled_batches(split.views[start.model], numbers, settings.batch_size, split.seed),
            settings.epochs,
            settings.epochs * math.ceil(len(numbers) / settings.batch_size),
            on_step=on_step,
        )
        return trainer

    def _checkpoint(self, start: Start, seed: int) -> Checkpoint:
        checkpoint = starting_checkpoint(start.model, 0)
        return with_new_prompts(checkpoint, seed) if start.random else checkpoint

    def _scores(self, network: GRMPIQA, start: Start, split: SplitWork, indices: Sequence[int]) -> np.ndarray:
        # Random prompts are others in every split, and what is remembered of an image depends on prompts.
        scorers = split.scorers if start.random else self._scorers
        if start.model not in scorers:
            count = len(self.ratings.images)
            images = RatedViews(self.ratings.images, np.zeros(count), network.config.preprocess)
            scorers[start.model] = RatedScorer(images)
        return scorers[start.model].scores(network, indices)

    def _work_on(self, shots: int, seed: int) -> SplitWork:
        if self._split is None or self._split[0] != (shots, seed):
            self._split = (shots, seed), SplitWork(self.ratings, shots, seed, self.settings)
        return self._split[1]


def zero_shot(bench: Bench, split: SplitWork) -> Row:
    """Hand-written texts on the backbone."""
    scores = bench.features(HONEST)["zero"].mean(1)
    return bench.measured(split, scores[split.test], " before")


def unadapted(name: str) -> Callable[[Bench, SplitWork], Row]:
    """A start, without any rating."""

    def measure(bench: Bench, split: SplitWork) -> Row:
        return bench.measured(split, bench.start_scores(TRAINED[name], split)[: len(split.test)], " before")

    return measure


def adapted(name: str) -> Callable[[Bench, SplitWork], Row]:
    """A start, adapted by gradients with the settings."""
    return lambda bench, split: _row_of_training(bench, split, bench.trained(name, split))


def cross_validated(name: str) -> Callable[[Bench, SplitWork], Row]:
    """A start, adapted by gradients as cross-validation inside the shots chooses."""
    return lambda bench, split: _row_of_training(bench, split, bench.cross_validated(name, split)[0])


def averaged(name: str, what: str) -> Callable[[Bench, SplitWork], Row]:
    """The mean of the start and the adapted network: of `weights`, or of `logits`."""

    def measure(bench: Bench, split: SplitWork) -> Row:
        found = bench.trained(name, split)
        logits = (_logit(found.before) + _logit(found.after)) / 2
        scores = found.averaged if what == "weights" else logits
        test = len(split.test)
        before = bench.measured(split, found.before[:test], " before")
        return before | bench.measured(split, scores[:test])

    return measure


def on_features(model: str, pooling: str, regression: Callable[[np.ndarray], Any]) -> Callable[..., Row]:
    """A regression on frozen features.

    Args:
        model: whose features.
        pooling: of the views, see `pooled`.
        regression: makes it, from the ratings of the shots.
    """

    def measure(bench: Bench, split: SplitWork) -> Row:
        features = pooled(bench, model, pooling)
        mos = bench.mos[split.shots]
        fitted = regression(mos).fit(features[split.shots], mos)
        return bench.measured(split, fitted.predict(features[split.test]))

    return measure


def beside_prompts(
    model: str, name: str, kind: str, pooling: str = "mean"
) -> Callable[[Bench, SplitWork], Row]:
    """Ridge on frozen features beside the prompts' logit.

    Args:
        model: whose features.
        name: of the start.
        kind: whose logit, and how: `start`, `adapted` and `cv`: ridge on what a line on the logit leaves over
            (`cv`: the shots' logits are those of networks that did not see them); `feature`: the start's
            logit as one more standardised feature.
        pooling: of the features.
    """

    def measure(bench: Bench, split: SplitWork) -> Row:
        unseen = None
        if kind == "cv":
            found, unseen = bench.cross_validated(name, split)
            scores = found.after
        else:
            adapt = kind == "adapted"
            start = TRAINED[name]
            scores = bench.trained(name, split).after if adapt else bench.start_scores(start, split)
        test = len(split.test)
        on_test = _logit(scores[:test])[:, None]
        on_shots = _logit(scores[test:] if unseen is None else unseen)[:, None]
        features = pooled(bench, model, pooling)
        mos = bench.mos[split.shots]
        if kind == "feature":
            ridge = _standardised(mos).fit(np.hstack([features[split.shots], on_shots]), mos)
            return bench.measured(split, ridge.predict(np.hstack([features[split.test], on_test])))
        # A high score is never a bad sign, whatever a few shots say.
        line = LinearRegression(positive=True).fit(on_shots, mos)
        ridge = _standardised(mos).fit(features[split.shots], mos - line.predict(on_shots))
        return bench.measured(split, line.predict(on_test) + ridge.predict(features[split.test]))

    return measure


def pooled(bench: Bench, model: str, pooling: str) -> np.ndarray:
    """Features (N, D) of every image.

    `mean`: Image features, mean over views. `trunk`: The trunk's statistics, mean over views. `both`: Image
    features, then the trunk's statistics.
    """
    found = bench.features(model)
    if pooling == "both":
        return np.hstack([pooled(bench, model, each) for each in ("mean", "trunk")])
    return found["plain" if pooling == "mean" else pooling].mean(1)


class TwoBlockRidge:
    """Ridge regression on two blocks of features, each scaled to a mean length of its own on the shots.

    The penalty is chosen by leave-one-out inside the shots.

    Args:
        first: How many features the first block has; 0 for a single block.
    """

    def __init__(self, first: int) -> None:
        self._first = first

    def fit(self, features: np.ndarray, mos: np.ndarray) -> "TwoBlockRidge":
        """Fit to features (N, D) and ratings (N,)."""
        self._mean, self._mos_mean = features.mean(0), float(mos.mean())
        centred, target = features - self._mean, mos - self._mos_mean
        scale = np.ones(features.shape[1])
        for block, factor in ((slice(self._first), _FIRST_WEIGHT), (slice(self._first, None), 1.0)):
            if centred[:, block].size:
                scale[block] = factor / np.sqrt((centred[:, block] ** 2).sum(1).mean())
        scaled, best = centred * scale, np.inf
        values, vectors = np.linalg.eigh(scaled @ scaled.T)
        values = np.maximum(values, 0)
        for penalty in _PENALTIES:
            smoother = (vectors * (values / (values + penalty))) @ vectors.T
            residuals = (target - smoother @ target) / (1 - np.diag(smoother) - 1 / len(target))
            error = float((residuals**2).mean())
            if error < best:
                best = error
                dual = (vectors / (values + penalty)) @ (vectors.T @ target)
                self._weights = scale * (scaled.T @ dual)
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predicted ratings (N,)."""
        return (features - self._mean) @ self._weights + self._mos_mean


def _small_ridge(mos: np.ndarray) -> Any:
    return RidgeCV(alphas=_SMALL)


def _standardised(mos: np.ndarray) -> Any:
    return make_pipeline(StandardScaler(), RidgeCV(alphas=_LARGE))


def _svr(mos: np.ndarray) -> Any:
    return make_pipeline(StandardScaler(), SVR(C=10 * float(mos.std())))


def _row_of_training(bench: Bench, split: SplitWork, found: Trained) -> Row:
    test = len(split.test)
    row = bench.measured(split, found.before[:test], " before") | bench.measured(split, found.after[:test])
    return row | {"shots": srcc(found.after[test:], bench.mos[split.shots])} | found.facts


def _judge(scores: np.ndarray, mos: np.ndarray) -> float:
    return float(np.nan_to_num(plcc(scores, mos) + srcc(scores, mos), nan=-math.inf))


def _logit(scores: np.ndarray) -> np.ndarray:
    return logit(scores.clip(1e-7, 1 - 1e-7))


def _mean(log: list[dict[str, float]], name: str) -> float:
    values = np.array([losses.get(name, math.nan) for losses in log])
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


@functools.cache
def _digest(model: str) -> str:
    return weights_digest(model)[:8]


def _variants_of(name: str, model: str, prefix: str) -> dict[str, Callable[[Bench, SplitWork], Row]]:
    return {
        f"{name}-start": unadapted(name),
        f"{prefix}ridge": on_features(model, "mean", _small_ridge),
        f"{prefix}svr": on_features(model, "mean", _svr),
        f"{prefix}ridge-trunk": on_features(model, "trunk", lambda mos: TwoBlockRidge(0)),
        f"{prefix}ridge-both": on_features(model, "both", lambda mos: TwoBlockRidge(_IMAGE_FEATURES)),
        f"{prefix}ridge-logit": beside_prompts(model, name, "feature"),
        f"{name}-start+ridge": beside_prompts(model, name, "start"),
        f"{name}+ridge": beside_prompts(model, name, "adapted"),
        f"{name}-averaged": averaged(name, "weights"),
        f"{name}-averaged-logits": averaged(name, "logits"),
        f"{name}-cv": cross_validated(name),
        f"{name}-cv+ridge": beside_prompts(model, name, "cv"),
    }


VARIANTS: dict[str, Callable[[Bench, SplitWork], Row]] = {
    "zero-shot": zero_shot,
    **{name: adapted(name) for name in TRAINED},
    **_variants_of("meta", HONEST, ""),
    **_variants_of("metric", METRIC, "metric-"),
}
"""All of them by name."""

WITHOUT_TRAINING = {
    name
    for name in VARIANTS
    if name not in TRAINED
    and (name.startswith(("zero", "ridge", "svr", "metric-ridge", "metric-svr")) or "-start" in name)
}
"""Those that no gradient is needed for."""
