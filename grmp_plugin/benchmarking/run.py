"""Predictions of the test images of one split, by each method."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from grmp_plugin.benchmarking.plan import Job
from grmp_plugin.benchmarking.rated_set import RatedSet
from grmp_plugin.benchmarking.readouts import fit_predict
from grmp_plugin.benchmarking.trainers import TRAINERS, LoRATrainer
from grmp_plugin.data.splits import Split
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.head import HeadInputs, without_head
from grmp_plugin.network.start import with_new_prompts
from grmp_plugin.statistics.correlation import plcc, srcc
from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.choice import parts
from grmp_plugin.training.frozen import FrozenPart
from grmp_plugin.training.prompts_run import PromptsRun
from grmp_plugin.training.released import BestOnTest
from grmp_plugin.training.scorer import RatedScorer
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.split_run import SplitRun
from grmp_plugin.training.watch import Watch


@dataclass(frozen=True)
class Predicted:
    """What a method predicts.

    Attributes:
        scores: (T,) predicted quality of the test images, higher is better.
        chosen: What `auto` chose; None for other methods.
    """

    scores: np.ndarray
    chosen: str | None = None


class MethodsRun:
    """All methods on one split; what they share is computed once.

    Args:
        start: The model that all start from.
        network: The same as a network on the device.
        learned: The data set that is learned from.
        tested: The data set that is tested on; may be the same.
        split: Numbers of the shots in the former, and of the test images in the latter.
        settings: Settings of the training.
        seed: Seed of the split.
        device: `cpu` or `cuda`.
        watch: Receives the progress.
    """

    def __init__(
        self,
        start: Checkpoint,
        network: GRMPIQA,
        learned: RatedSet,
        tested: RatedSet,
        split: Split,
        settings: AdaptSettings,
        seed: int,
        device: str,
        watch: Watch,
    ) -> None:
        self._start, self._network = start, network
        self._learned, self._tested, self._split = learned, tested, split
        self._settings, self._seed, self._device, self._watch = settings, seed, device, watch
        self._scale = learned.ratings.scale(split.shots)
        self._quality = self._scale.to_quality(learned.ratings.mos[split.shots]).clip(0, 1)
        self._frozen: FrozenPart | None = None

    def predict(self, job: Job) -> Predicted:
        """The predictions of one method that is no fixed metric.

        Raises:
            TrainingError: When its gradients are not finite.
            TrainingInterrupted: When the watch asked to stop.
        """
        strength = self._settings.strength if job.strength is None else job.strength
        prompts = dataclasses.replace(self._settings, method="prompts", strength=strength)
        match job.method:
            case "zero-shot":
                return Predicted(self._tested.start_scores(self._network, self._split.test))
            case "svr" | "probe":
                return Predicted(self._readout(job.method))
            case "ridge" | "auto":
                return self._adapted(dataclasses.replace(self._settings, method=job.method))
            case "no-meta":
                return self._without_meta(prompts)
            case "grmp" | "no-qgr":
                return Predicted(self._adapted(prompts).scores)
        return Predicted(self._baseline(job.method))

    def _split_run(self, start: Checkpoint, settings: AdaptSettings, scorer: RatedScorer) -> SplitRun:
        ratings = self._learned.ratings
        return SplitRun(
            *(start, ratings, self._split, self._scale, settings, self._seed, self._device, scorer),
            self._watch,
        )

    def _adapted(
        self,
        settings: AdaptSettings,
        start: Checkpoint | None = None,
        scorers: tuple[RatedScorer, RatedScorer] | None = None,
    ) -> Predicted:
        """As `grmp adapt` does."""
        learning, testing = scorers or (self._learned.scorer, self._tested.scorer)
        run = self._split_run(start or self._start, settings, learning)
        best: BestOnTest | None = None

        def after_epoch(training: PromptsRun) -> BestOnTest | None:
            nonlocal best
            best = self._best_on_test(training.trainer, testing)
            return best

        outcome = run.adapt(None, lambda state: None, after_epoch)
        if best is not None and outcome.run is not None:
            best.restore(outcome.run.trainer)
            network = outcome.run.trainer.net
        else:
            network = GRMPIQA(outcome.checkpoint).to(self._device)
        scores = testing.scores(network, self._split.test.tolist())
        return Predicted(scores, outcome.chosen if settings.method == "auto" else None)

    def _without_meta(self, settings: AdaptSettings) -> Predicted:
        # Other visual prompts give other tokens; the shared scorers keep those of the start.
        learning = self._learned.new_scorer()
        testing = learning if self._tested is self._learned else self._tested.new_scorer()
        start = with_new_prompts(self._start, self._seed)
        return Predicted(self._adapted(settings, start, (learning, testing)).scores)

    def _baseline(self, method: str) -> np.ndarray:
        """Plain gradient steps on what the baseline learns."""
        settings = dataclasses.replace(self._settings, method="prompts", strength=0.0)
        run = PromptsRun(
            without_head(self._start),
            settings,
            self._views.shots,
            self._seed,
            self._device,
            frozen=self._frozen,
            kind=TRAINERS[method],
        )
        self._frozen = self._frozen or run.trainer.frozen
        # Their frozen part may be smaller than that of the start's scorer.
        scorer = self._tested.scorer if method == "coop" else self._tested.new_scorer()
        best = self._best_on_test(run.trainer, scorer)
        run.train(self._watch, after_epoch=best)
        if best is not None:
            best.restore(run.trainer)
        if isinstance(run.trainer, LoRATrainer):
            run.trainer.merge()
        return scorer.scores(run.trainer.net, self._split.test.tolist())

    @cached_property
    def _views(self) -> SplitRun:
        """For its views of the shots."""
        return self._split_run(self._start, self._settings, self._learned.scorer)

    @cached_property
    def _inputs(self) -> tuple[HeadInputs, HeadInputs]:
        """What a head reads of shots and test images."""
        return (
            self._learned.scorer.head_inputs(self._network, self._split.shots.tolist()),
            self._tested.scorer.head_inputs(self._network, self._split.test.tolist()),
        )

    def _readout(self, method: str) -> np.ndarray:
        references = self._learned.ratings.references
        groups = None if references is None else [references[i] for i in self._split.shots]
        divided = parts(len(self._split.shots), groups, self._seed)
        shots, test = self._inputs
        return fit_predict(method, shots, self._quality, divided, test)

    def _best_on_test(self, trainer: GRMPAdaptModel, scorer: RatedScorer) -> BestOnTest | None:
        """Protocol `released` keeps the best epoch on the test."""
        if self._settings.protocol != "released":
            return None
        rated = self._tested.upwards(self._split.test)

        def plcc_and_srcc() -> float:
            scores = scorer.scores(trainer.net, self._split.test.tolist())
            return plcc(scores, rated) + srcc(scores, rated)

        return BestOnTest(trainer, plcc_and_srcc)
